//! Table of the models that are common in Korea.

use crate::{
    models::{Model, kind, model},
    vehicle::{
        Fuel::{Diesel, Electric, Gasoline, GasolineHybrid, Hydrogen, Lpg, PlugInHybrid},
        Transmission::{Auto, Cvt, Dct, Manual},
    },
};

const FWD: &[&str] = &["FWD"];
const RWD: &[&str] = &["RWD"];
const AWD: &[&str] = &["AWD"];
const FOUR: &[&str] = &["4WD"];
const FWD_4WD: &[&str] = &["FWD", "FWD", "4WD"];
const FWD_AWD: &[&str] = &["FWD", "FWD", "FWD", "AWD"];
const RWD_4WD: &[&str] = &["RWD", "4WD"];
const RWD_AWD: &[&str] = &["RWD", "AWD"];

/// The models: one line for each, and one for each of its engines.
#[rustfmt::skip]
pub(crate) const MODELS: &[Model] = &[
    model("Hyundai", "Casper", "", (2021, 2026), "KMHC8", 4, &[
        kind("1.0", Gasoline, 998, Auto, FWD, &[("Smart", 11), ("Modern", 13), ("Inspiration", 15)]),
        kind("1.0 Turbo", Gasoline, 998, Auto, FWD, &[("Active", 14), ("Inspiration", 16)])]),
    model("Hyundai", "Accent", "", (2011, 2018), "KMHCT", 2, &[
        kind("1.4 VVT", Gasoline, 1368, Cvt, FWD, &[("Smart", 11), ("Modern", 13)]),
        kind("1.6 VGT", Diesel, 1582, Dct, FWD, &[("Smart", 14), ("Modern", 15)])]),
    model("Hyundai", "Avante", "AD", (2015, 2020), "KMHD8", 8, &[
        kind("1.6 GDi", Gasoline, 1591, Auto, FWD, &[("Style", 12), ("Smart", 14), ("Modern", 15), ("Premium", 17)]),
        kind("1.6 VGT", Diesel, 1582, Dct, FWD, &[("Smart", 15), ("Premium", 18)]),
        kind("1.6 LPi", Lpg, 1591, Auto, FWD, &[("Style", 13), ("Modern", 15)])]),
    model("Hyundai", "Avante", "CN7", (2020, 2026), "KMHLM", 9, &[
        kind("1.6", Gasoline, 1598, Cvt, FWD, &[("Smart", 14), ("Modern", 17), ("Inspiration", 20)]),
        kind("1.6 Hybrid", GasolineHybrid, 1580, Dct, FWD, &[("Smart", 18), ("Inspiration", 22)]),
        kind("N 2.0 Turbo", Gasoline, 1998, Manual, FWD, &[("Performance", 25)])]),
    model("Hyundai", "i30", "PD", (2016, 2020), "KMHH3", 1, &[
        kind("1.4 Turbo", Gasoline, 1353, Dct, FWD, &[("Style", 15), ("Premium", 19)])]),
    model("Hyundai", "Veloster", "JS", (2018, 2022), "KMHTC", 1, &[
        kind("1.6 Turbo", Gasoline, 1591, Dct, FWD, &[("Sports", 18), ("Sports Core", 20)]),
        kind("N 2.0 Turbo", Gasoline, 1998, Manual, FWD, &[("Performance", 24)])]),
    model("Hyundai", "Sonata", "LF", (2014, 2019), "KMHE4", 7, &[
        kind("2.0 Gasoline", Gasoline, 1999, Auto, FWD, &[("Style", 18), ("Smart", 20), ("Premium", 22)]),
        kind("2.0 LPi", Lpg, 1999, Auto, FWD, &[("Style", 15), ("Modern", 17)]),
        kind("1.7 Diesel", Diesel, 1685, Dct, FWD, &[("Smart", 20), ("Premium", 23)])]),
    model("Hyundai", "Sonata", "DN8", (2019, 2026), "KMHL1", 8, &[
        kind("2.0 Gasoline", Gasoline, 1999, Auto, FWD, &[("Smart", 19), ("Premium", 22), ("Inspiration", 26)]),
        kind("1.6 Turbo", Gasoline, 1598, Auto, FWD, &[("Premium", 23), ("Inspiration", 27)]),
        kind("2.0 LPi", Lpg, 1999, Auto, FWD, &[("Style", 16), ("Modern", 19)]),
        kind("2.0 Hybrid", GasolineHybrid, 1999, Auto, FWD, &[("Premium", 25), ("Inspiration", 29)])]),
    model("Hyundai", "Grandeur", "HG", (2011, 2016), "KMHFG", 5, &[
        kind("2.4 Gasoline", Gasoline, 2359, Auto, FWD, &[("Modern", 23), ("Premium", 25)]),
        kind("3.0 Gasoline", Gasoline, 2999, Auto, FWD, &[("Prime", 26), ("Exclusive", 29)]),
        kind("3.0 LPi", Lpg, 2999, Auto, FWD, &[("Luxury", 20), ("Exclusive", 23)])]),
    model("Hyundai", "Grandeur", "IG", (2016, 2019), "KMHF1", 5, &[
        kind("2.4 Gasoline", Gasoline, 2359, Auto, FWD, &[("Modern", 24), ("Premium", 26), ("Premium Special", 28)]),
        kind("3.0 LPi", Lpg, 2999, Auto, FWD, &[("Luxury", 22), ("Exclusive", 25)]),
        kind("2.2 Diesel", Diesel, 2199, Auto, FWD, &[("Premium", 27), ("Exclusive", 29)])]),
    model("Hyundai", "Grandeur", "The New IG", (2019, 2022), "KMHF2", 7, &[
        kind("2.5 Gasoline", Gasoline, 2497, Auto, FWD, &[("Premium", 25), ("Exclusive", 28), ("Calligraphy", 32)]),
        kind("3.3 Gasoline", Gasoline, 3342, Auto, FWD, &[("Exclusive", 30), ("Calligraphy", 34)]),
        kind("2.4 Hybrid", GasolineHybrid, 2359, Auto, FWD, &[("Premium", 28), ("Exclusive", 31), ("Calligraphy", 34)])]),
    model("Hyundai", "Grandeur", "GN7", (2022, 2026), "KMHF3", 6, &[
        kind("2.5 Gasoline", Gasoline, 2497, Auto, FWD, &[("Premium", 28), ("Exclusive", 32), ("Calligraphy", 36)]),
        kind("3.5 Gasoline", Gasoline, 3470, Auto, FWD_AWD, &[("Exclusive", 34), ("Calligraphy", 38)]),
        kind("1.6 Hybrid", GasolineHybrid, 1598, Auto, FWD, &[("Premium", 32), ("Exclusive", 36), ("Calligraphy", 40)])]),
    model("Hyundai", "Venue", "", (2019, 2026), "KMHRC", 1, &[
        kind("1.6", Gasoline, 1598, Cvt, FWD, &[("Smart", 13), ("Modern", 15), ("Flux", 17)])]),
    model("Hyundai", "Kona", "OS", (2017, 2022), "KMHK2", 4, &[
        kind("1.6 Turbo", Gasoline, 1591, Dct, FWD_4WD, &[("Smart", 14), ("Modern", 17), ("Premium", 19)]),
        kind("1.6 Diesel", Diesel, 1598, Dct, FWD, &[("Smart", 16), ("Premium", 20)]),
        kind("Electric", Electric, 0, Auto, FWD, &[("Modern", 33), ("Premium", 36)])]),
    model("Hyundai", "Tucson", "TL", (2015, 2020), "KMHJ3", 6, &[
        kind("1.7 Diesel", Diesel, 1685, Dct, FWD, &[("Style", 18), ("Modern", 20)]),
        kind("2.0 Diesel", Diesel, 1995, Auto, FWD_4WD, &[("Modern", 20), ("Premium", 23)]),
        kind("1.6 Turbo", Gasoline, 1591, Dct, FWD_4WD, &[("Style", 18), ("Premium", 21)])]),
    model("Hyundai", "Tucson", "NX4", (2020, 2026), "KMHJF", 7, &[
        kind("1.6 Turbo", Gasoline, 1598, Dct, FWD_4WD, &[("Modern", 20), ("Premium", 22), ("Inspiration", 26)]),
        kind("2.0 Diesel", Diesel, 1998, Auto, FWD_4WD, &[("Modern", 21), ("Inspiration", 27)]),
        kind("1.6 Hybrid", GasolineHybrid, 1598, Auto, FWD_4WD, &[("Modern", 24), ("Inspiration", 30)])]),
    model("Hyundai", "Santa Fe", "DM", (2012, 2018), "KMHST", 5, &[
        kind("Diesel 2.0", Diesel, 1995, Auto, FWD_4WD, &[("Modern", 22), ("Premium", 24), ("Exclusive", 26)]),
        kind("Diesel 2.2", Diesel, 2199, Auto, FWD_4WD, &[("Prestige", 26), ("Exclusive", 28)])]),
    model("Hyundai", "Santa Fe", "TM", (2018, 2023), "KMHS2", 7, &[
        kind("Diesel 2.0", Diesel, 1995, Auto, FWD_4WD, &[("Modern", 24), ("Exclusive", 26), ("Prestige", 28)]),
        kind("Diesel 2.2", Diesel, 2151, Dct, FWD_4WD, &[("Exclusive", 27), ("Prestige", 30), ("Calligraphy", 33)])]),
    model("Hyundai", "Santa Fe", "TM", (2021, 2023), "KMHS2", 2, &[
        kind("1.6 Hybrid", GasolineHybrid, 1598, Auto, FWD_4WD, &[("Exclusive", 30), ("Calligraphy", 35)])]),
    model("Hyundai", "Santa Fe", "MX5", (2023, 2026), "KMHSD", 3, &[
        kind("2.5 Turbo", Gasoline, 2497, Dct, FWD_4WD, &[("Exclusive", 28), ("Prestige", 30), ("Calligraphy", 34)]),
        kind("1.6 Hybrid", GasolineHybrid, 1598, Auto, FWD_4WD, &[("Exclusive", 31), ("Calligraphy", 37)])]),
    model("Hyundai", "Palisade", "LX2", (2018, 2024), "KMHR3", 7, &[
        kind("Diesel 2.2", Diesel, 2199, Auto, FWD_4WD, &[("Exclusive", 30), ("Prestige", 34), ("Calligraphy", 39)]),
        kind("3.8 Gasoline", Gasoline, 3778, Auto, FWD_4WD, &[("Exclusive", 29), ("Prestige", 33), ("Calligraphy", 37)])]),
    model("Hyundai", "Ioniq", "AE", (2016, 2020), "KMHC7", 2, &[
        kind("1.6 Hybrid", GasolineHybrid, 1580, Dct, FWD, &[("I", 18), ("N", 20), ("Q", 22)]),
        kind("1.6 Plug-in", PlugInHybrid, 1580, Dct, FWD, &[("N", 25), ("Q", 27)])]),
    model("Hyundai", "Ioniq 5", "", (2021, 2026), "KMHKN", 4, &[
        kind("Long Range", Electric, 0, Auto, RWD_AWD, &[("Exclusive", 38), ("Prestige", 42)]),
        kind("Standard Range", Electric, 0, Auto, RWD, &[("Exclusive", 35)])]),
    model("Hyundai", "Ioniq 6", "", (2022, 2026), "KMHM3", 2, &[
        kind("Long Range", Electric, 0, Auto, RWD_AWD, &[("Exclusive", 40), ("Prestige", 44)])]),
    model("Hyundai", "Nexo", "", (2018, 2024), "KMHJ8", 1, &[
        kind("Fuel Cell", Hydrogen, 0, Auto, FWD, &[("Modern", 50), ("Premium", 53)])]),
    model("Hyundai", "Grand Starex", "", (2010, 2021), "KMJWA", 4, &[
        kind("Diesel 2.5 11-seat", Diesel, 2497, Auto, RWD_4WD, &[("CVX", 18), ("HVX", 20), ("Premium", 21)]),
        kind("Diesel 2.5 Van 5-seat", Diesel, 2497, Manual, RWD, &[("CVX", 16)]),
        kind("LPi 2.4 12-seat", Lpg, 2359, Auto, RWD, &[("Modern", 18)])]),
    model("Hyundai", "Staria", "", (2021, 2026), "KMJYB", 3, &[
        kind("Diesel 2.2 Tourer 9-seat", Diesel, 2199, Auto, FWD_4WD, &[("Modern", 24), ("Tourer", 26)]),
        kind("Diesel 2.2 Lounge 7-seat", Diesel, 2199, Auto, FWD_4WD, &[("Prestige", 31), ("Inspiration", 34)]),
        kind("LPi 3.5 Tourer 11-seat", Lpg, 3470, Auto, FWD, &[("Modern", 24)])]),
    model("Hyundai", "Porter II", "", (2012, 2026), "KMFZS", 6, &[
        kind("Diesel 2.5 Super Cab", Diesel, 2497, Manual, RWD_4WD, &[("Style", 13), ("Smart", 14), ("Premium", 15)])]),
    model("Hyundai", "Porter II", "", (2020, 2026), "KMFZS", 2, &[
        kind("Electric Super Cab", Electric, 0, Auto, RWD, &[("Smart", 31), ("Premium", 33)])]),

    model("Kia", "Morning", "JA", (2017, 2026), "KNAB3", 7, &[
        kind("1.0 Gasoline", Gasoline, 998, Auto, FWD, &[("Standard", 9), ("Luxury", 11), ("Prestige", 12), ("Signature", 13)]),
        kind("Van", Gasoline, 998, Manual, FWD, &[("Standard", 8)])]),
    model("Kia", "Ray", "", (2012, 2026), "KNACJ", 5, &[
        kind("1.0 Gasoline", Gasoline, 998, Auto, FWD, &[("Standard", 10), ("Prestige", 12), ("Signature", 14)])]),
    model("Kia", "Ray", "", (2023, 2026), "KNACJ", 1, &[
        kind("Electric", Electric, 0, Auto, FWD, &[("Light", 21), ("Air", 22)])]),
    model("Kia", "Soul", "Booster", (2019, 2021), "KNAJ3", 1, &[
        kind("1.6 Turbo", Gasoline, 1591, Dct, FWD, &[("Prestige", 15), ("Noblesse", 18)])]),
    model("Kia", "K3", "BD", (2018, 2024), "KNAF4", 6, &[
        kind("1.6 Gasoline", Gasoline, 1598, Cvt, FWD, &[("Trendy", 13), ("Prestige", 15), ("Noblesse", 17), ("Signature", 18)])]),
    model("Kia", "K5", "JF", (2015, 2019), "KNAGU", 5, &[
        kind("2.0 Gasoline", Gasoline, 1999, Auto, FWD, &[("Luxury", 18), ("Prestige", 19), ("Noblesse", 22)]),
        kind("2.0 LPi", Lpg, 1999, Auto, FWD, &[("Luxury", 15), ("Prestige", 17)]),
        kind("1.7 Diesel", Diesel, 1685, Dct, FWD, &[("Prestige", 20), ("Noblesse", 23)])]),
    model("Kia", "K5", "DL3", (2019, 2026), "KNAG6", 7, &[
        kind("2.0 Gasoline", Gasoline, 1999, Auto, FWD, &[("Trendy", 18), ("Prestige", 20), ("Noblesse", 23), ("Signature", 25)]),
        kind("1.6 Turbo", Gasoline, 1598, Auto, FWD, &[("Prestige", 21), ("Signature", 26)]),
        kind("2.0 Hybrid", GasolineHybrid, 1999, Auto, FWD, &[("Prestige", 23), ("Signature", 28)]),
        kind("2.0 LPi", Lpg, 1999, Auto, FWD, &[("Trendy", 16), ("Prestige", 18)])]),
    model("Kia", "K7", "YG", (2016, 2021), "KNALD", 4, &[
        kind("2.5 Gasoline", Gasoline, 2497, Auto, FWD, &[("Prestige", 24), ("Noblesse", 26), ("Signature", 28)]),
        kind("2.2 Diesel", Diesel, 2199, Auto, FWD, &[("Prestige", 26), ("Noblesse", 28)]),
        kind("2.4 Hybrid", GasolineHybrid, 2359, Auto, FWD, &[("Prestige", 28), ("Signature", 31)])]),
    model("Kia", "K8", "GL3", (2021, 2026), "KNALE", 4, &[
        kind("2.5 Gasoline", Gasoline, 2497, Auto, FWD, &[("Noblesse Light", 25), ("Noblesse", 27), ("Signature", 30)]),
        kind("3.5 Gasoline", Gasoline, 3470, Auto, FWD_AWD, &[("Noblesse", 28), ("Signature", 32), ("Platinum", 35)]),
        kind("1.6 Hybrid", GasolineHybrid, 1598, Auto, FWD, &[("Noblesse", 30), ("Signature", 33)])]),
    model("Kia", "K9", "RJ", (2018, 2025), "KNAM3", 2, &[
        kind("3.8 Gasoline", Gasoline, 3778, Auto, RWD_AWD, &[("Platinum", 43), ("Grand Platinum", 52)]),
        kind("3.3 Turbo", Gasoline, 3342, Auto, RWD_AWD, &[("Masters", 50), ("Grand Masters", 62)])]),
    model("Kia", "Stinger", "", (2017, 2023), "KNAE3", 2, &[
        kind("2.5 Turbo", Gasoline, 2497, Auto, RWD_AWD, &[("Prime", 29), ("Masters", 31)]),
        kind("3.3 Turbo", Gasoline, 3342, Auto, RWD_AWD, &[("GT", 35)])]),
    model("Kia", "Niro", "DE", (2016, 2021), "KNACB", 3, &[
        kind("1.6 Hybrid", GasolineHybrid, 1580, Dct, FWD, &[("Luxury", 18), ("Prestige", 20), ("Noblesse", 22)]),
        kind("1.6 Plug-in", PlugInHybrid, 1580, Dct, FWD, &[("Prestige", 26), ("Noblesse", 28)]),
        kind("EV", Electric, 0, Auto, FWD, &[("Prestige", 36), ("Noblesse", 38)])]),
    model("Kia", "Niro", "SG2", (2022, 2026), "KNACR", 3, &[
        kind("1.6 Hybrid", GasolineHybrid, 1580, Dct, FWD, &[("Trendy", 21), ("Prestige", 23), ("Signature", 26)]),
        kind("EV", Electric, 0, Auto, FWD, &[("Air", 37), ("Earth", 40)])]),
    model("Kia", "Seltos", "SP2", (2019, 2026), "KNAEU", 4, &[
        kind("1.6 Turbo", Gasoline, 1591, Dct, FWD_4WD, &[("Trendy", 16), ("Prestige", 18), ("Signature", 20)]),
        kind("1.6 Diesel", Diesel, 1598, Dct, FWD_4WD, &[("Prestige", 19), ("Noblesse", 21)])]),
    model("Kia", "Sportage", "4th Gen", (2015, 2021), "KNAPH", 6, &[
        kind("Diesel 2.0", Diesel, 1995, Auto, FWD_4WD, &[("Trendy", 18), ("Prestige", 20), ("Noblesse", 22)]),
        kind("Gasoline 2.0", Gasoline, 1999, Auto, FWD, &[("Trendy", 17), ("Noblesse", 20)])]),
    model("Kia", "Sportage", "5th Gen", (2021, 2026), "KNAPV", 6, &[
        kind("1.6 Turbo", Gasoline, 1598, Dct, FWD_4WD, &[("Trendy", 19), ("Prestige", 21), ("Noblesse", 24), ("Signature", 26)]),
        kind("Diesel 2.0", Diesel, 1998, Auto, FWD_4WD, &[("Prestige", 22), ("Signature", 27)]),
        kind("1.6 Hybrid", GasolineHybrid, 1598, Auto, FWD_4WD, &[("Prestige", 25), ("Signature", 29)]),
        kind("2.0 LPi", Lpg, 1999, Auto, FWD, &[("Trendy", 19), ("Noblesse", 23)])]),
    model("Kia", "Sorento", "3rd Gen", (2014, 2020), "KNAPM", 7, &[
        kind("Diesel 2.0", Diesel, 1995, Auto, FWD_4WD, &[("Luxury", 22), ("Prestige", 24)]),
        kind("Diesel 2.2", Diesel, 2199, Auto, FWD_4WD, &[("Prestige", 25), ("Noblesse", 27), ("Noblesse Special", 29)])]),
    model("Kia", "Sorento", "4th Gen", (2020, 2026), "KNARH", 9, &[
        kind("Diesel 2.2", Diesel, 2151, Dct, FWD_4WD, &[("Trendy", 24), ("Prestige", 26), ("Noblesse", 29), ("Signature", 31)]),
        kind("2.5 Turbo", Gasoline, 2497, Dct, FWD_4WD, &[("Prestige", 25), ("Signature", 30)]),
        kind("1.6 Hybrid", GasolineHybrid, 1598, Auto, FWD_4WD, &[("Prestige", 28), ("Noblesse", 31), ("Gravity", 34)])]),
    model("Kia", "Mohave", "", (2016, 2024), "KNAKR", 3, &[
        kind("Diesel 3.0", Diesel, 2959, Auto, FOUR, &[("Noblesse", 34), ("President", 37), ("Masters", 39), ("Gravity", 42)])]),
    model("Kia", "Carnival", "YP", (2014, 2020), "KNAMB", 7, &[
        kind("Diesel 2.2 9-seat", Diesel, 2199, Auto, FWD, &[("Luxury", 23), ("Prestige", 26), ("Noblesse", 28)]),
        kind("Diesel 2.2 11-seat", Diesel, 2199, Auto, FWD, &[("Deluxe", 21), ("Prestige", 25)]),
        kind("Diesel 2.2 Hi-Limousine 9-seat", Diesel, 2199, Auto, FWD, &[("Noblesse", 36), ("President", 40)])]),
    model("Kia", "Carnival", "4th Gen", (2020, 2026), "KNAMC", 8, &[
        kind("Diesel 2.2 9-seat", Diesel, 2151, Auto, FWD, &[("Prestige", 27), ("Noblesse", 30), ("Signature", 33)]),
        kind("3.5 Gasoline 9-seat", Gasoline, 3470, Auto, FWD, &[("Prestige", 26), ("Signature", 32)]),
        kind("3.5 Gasoline Hi-Limousine 9-seat", Gasoline, 3470, Auto, FWD, &[("Noblesse", 44), ("Signature", 48)])]),
    model("Kia", "EV6", "", (2021, 2026), "KNAC8", 3, &[
        kind("Long Range", Electric, 0, Auto, RWD_AWD, &[("Air", 39), ("Earth", 42), ("GT-Line", 44)])]),
    model("Kia", "EV9", "", (2023, 2026), "KNAXC", 1, &[
        kind("Long Range", Electric, 0, Auto, RWD_AWD, &[("Air", 56), ("Earth", 61), ("GT-Line", 66)])]),
    model("Kia", "Bongo III", "", (2012, 2026), "KNCSJ", 4, &[
        kind("Diesel 2.5 1-ton King Cab", Diesel, 2497, Manual, RWD_4WD, &[("DLX", 12), ("GL", 13), ("GLS", 15)])]),
    model("Kia", "Bongo III", "", (2020, 2026), "KNCSJ", 1, &[
        kind("Electric 1-ton King Cab", Electric, 0, Auto, RWD, &[("GL", 31), ("GLS", 32)])]),

    model("Genesis", "G70", "", (2017, 2025), "KMTG3", 3, &[
        kind("2.0 Turbo", Gasoline, 1998, Auto, RWD_AWD, &[("Advanced", 30), ("Elite", 33), ("Sport", 35)]),
        kind("3.3 Turbo", Gasoline, 3342, Auto, RWD_AWD, &[("Sport", 38), ("Sport Package", 40)]),
        kind("Diesel 2.2", Diesel, 2199, Auto, RWD_AWD, &[("Advanced", 32), ("Elite", 34)])]),
    model("Genesis", "G80", "DH", (2016, 2020), "KMHGN", 4, &[
        kind("3.3 GDi", Gasoline, 3342, Auto, RWD_AWD, &[("Luxury", 37), ("Premium Luxury", 41)]),
        kind("3.8 GDi", Gasoline, 3778, Auto, RWD_AWD, &[("Premium Luxury", 45), ("Finest", 53)])]),
    model("Genesis", "G80", "RG3", (2020, 2026), "KMTGB", 6, &[
        kind("2.5 Turbo", Gasoline, 2497, Auto, RWD_AWD, &[("Standard", 42), ("Luxury", 47), ("Sport Package", 50)]),
        kind("3.5 Turbo", Gasoline, 3470, Auto, RWD_AWD, &[("Standard", 47), ("Prestige", 55)]),
        kind("Diesel 2.2", Diesel, 2151, Auto, RWD_AWD, &[("Standard", 43), ("Luxury", 48)])]),
    model("Genesis", "G90", "HI", (2018, 2021), "KMTHG", 2, &[
        kind("3.8 GDi", Gasoline, 3778, Auto, RWD_AWD, &[("Luxury", 60), ("Premium Luxury", 68), ("Prestige", 82)])]),
    model("Genesis", "GV60", "", (2021, 2026), "KMTKA", 1, &[
        kind("Standard", Electric, 0, Auto, RWD_AWD, &[("Standard", 48), ("Premium", 53)]),
        kind("Performance", Electric, 0, Auto, AWD, &[("Performance", 56)])]),
    model("Genesis", "GV70", "", (2020, 2026), "KMTMA", 4, &[
        kind("2.5 Turbo", Gasoline, 2497, Auto, RWD_AWD, &[("Standard", 38), ("Sport", 42), ("Sport Package", 45)]),
        kind("Diesel 2.2", Diesel, 2151, Auto, RWD_AWD, &[("Standard", 40), ("Luxury", 44)])]),
    model("Genesis", "GV80", "", (2020, 2026), "KMTHB", 4, &[
        kind("2.5 Turbo", Gasoline, 2497, Auto, RWD_AWD, &[("Standard", 47), ("Luxury", 53)]),
        kind("3.5 Turbo", Gasoline, 3470, Auto, RWD_AWD, &[("Standard", 52), ("Prestige", 62)]),
        kind("Diesel 3.0", Diesel, 2996, Auto, RWD_AWD, &[("Standard", 50), ("Luxury", 57)])]),

    model("SsangYong", "Tivoli", "", (2015, 2022), "KPBXH", 3, &[
        kind("1.6 Gasoline", Gasoline, 1597, Auto, FWD, &[("TX", 14), ("VX", 16), ("LX", 18)]),
        kind("1.6 Diesel", Diesel, 1597, Auto, FWD_4WD, &[("VX", 17), ("LX", 19)])]),
    model("SsangYong", "Korando", "C300", (2019, 2022), "KPBZA", 2, &[
        kind("1.5 Turbo", Gasoline, 1497, Auto, FWD_4WD, &[("C3", 18), ("C5", 20), ("C7", 22)]),
        kind("1.6 Diesel", Diesel, 1597, Auto, FWD_4WD, &[("Deluxe", 19), ("Fantastic", 23)])]),
    model("SsangYong", "Rexton", "G4", (2017, 2022), "KPBGA", 3, &[
        kind("Diesel 2.2", Diesel, 2157, Auto, RWD_4WD, &[("Luxury", 26), ("Majesty", 29), ("Heritage", 34)])]),
    model("SsangYong", "Rexton Sports", "", (2018, 2022), "KPBFA", 3, &[
        kind("Diesel 2.2", Diesel, 2157, Auto, RWD_4WD, &[("Wild", 18), ("Adventure", 20), ("Noblesse", 24)]),
        kind("Diesel 2.2 Khan", Diesel, 2157, Auto, RWD_4WD, &[("Pioneer", 22), ("Prestige", 25)])]),
    model("KG Mobility", "Torres", "", (2022, 2026), "KPBUA", 3, &[
        kind("1.5 Turbo", Gasoline, 1497, Auto, FWD_4WD, &[("T5", 21), ("T7", 23)]),
        kind("EVX", Electric, 0, Auto, FWD, &[("E5", 36), ("E7", 38)])]),
    model("KG Mobility", "Rexton Sports", "Khan", (2023, 2026), "KPBFB", 1, &[
        kind("Diesel 2.2", Diesel, 2157, Auto, RWD_4WD, &[("Prestige", 26), ("Noblesse", 29)])]),

    model("Chevrolet", "Spark", "M400", (2015, 2022), "KLYDC", 4, &[
        kind("1.0", Gasoline, 999, Cvt, FWD, &[("LS", 9), ("LT", 11), ("Premier", 12)])]),
    model("Chevrolet", "Malibu", "9th Gen", (2016, 2022), "KLAZS", 3, &[
        kind("1.5 Turbo", Gasoline, 1490, Auto, FWD, &[("LT", 19), ("LTZ", 22)]),
        kind("2.0 Turbo", Gasoline, 1998, Auto, FWD, &[("LTZ", 23), ("Premier", 25)])]),
    model("Chevrolet", "Trax", "", (2013, 2022), "KL1JD", 2, &[
        kind("1.4 Turbo", Gasoline, 1362, Auto, FWD, &[("LS", 14), ("LT", 16), ("Premier", 18)]),
        kind("1.6 Diesel", Diesel, 1598, Auto, FWD, &[("LT", 18), ("Premier", 20)])]),
    model("Chevrolet", "Trax Crossover", "", (2023, 2026), "KL77L", 2, &[
        kind("1.2 Turbo", Gasoline, 1199, Auto, FWD, &[("LT", 17), ("Activ", 19), ("RS", 20)])]),
    model("Chevrolet", "Trailblazer", "", (2020, 2026), "KL79M", 3, &[
        kind("1.35 Turbo", Gasoline, 1341, Cvt, FWD, &[("LT", 17), ("Premier", 19)]),
        kind("1.35 Turbo", Gasoline, 1341, Auto, AWD, &[("Activ", 21), ("RS", 22)])]),
    model("Chevrolet", "Captiva", "", (2011, 2017), "KLACD", 1, &[
        kind("Diesel 2.0", Diesel, 1956, Auto, FWD_AWD, &[("LS", 20), ("LT", 22), ("LTZ", 24)])]),
    model("Chevrolet", "Orlando", "", (2011, 2018), "KLAYY", 1, &[
        kind("2.0 LPGi", Lpg, 1998, Auto, FWD, &[("LS", 15), ("LT", 17)]),
        kind("1.6 Diesel", Diesel, 1598, Auto, FWD, &[("LT", 18), ("LTZ", 20)])]),

    model("Renault Samsung", "SM3", "", (2011, 2020), "KNMA4", 2, &[
        kind("1.6 Gasoline", Gasoline, 1598, Cvt, FWD, &[("PE", 12), ("SE", 13), ("RE", 15)])]),
    model("Renault Samsung", "SM6", "", (2016, 2021), "KNMA3", 3, &[
        kind("2.0 GDe", Gasoline, 1998, Dct, FWD, &[("SE", 19), ("LE", 21), ("RE", 23)]),
        kind("2.0 LPe", Lpg, 1998, Cvt, FWD, &[("SE", 17), ("LE", 19)])]),
    model("Renault Samsung", "QM3", "", (2014, 2019), "VF1RF", 1, &[
        kind("1.5 dCi", Diesel, 1461, Dct, FWD, &[("SE", 16), ("LE", 18), ("RE", 19)])]),
    model("Renault Samsung", "QM6", "", (2016, 2021), "KNMA5", 4, &[
        kind("2.0 LPe", Lpg, 1998, Cvt, FWD, &[("SE", 18), ("LE", 20), ("RE", 22), ("Premiere", 25)]),
        kind("2.0 GDe", Gasoline, 1997, Cvt, FWD, &[("LE", 20), ("RE", 23)]),
        kind("2.0 dCi", Diesel, 1995, Cvt, FWD_4WD, &[("LE", 22), ("RE", 25)])]),
    model("Renault Korea", "QM6", "", (2022, 2025), "KNMA6", 2, &[
        kind("2.0 LPe", Lpg, 1998, Cvt, FWD, &[("LE", 21), ("RE", 24), ("Premiere", 27)])]),
    model("Renault Korea", "XM3", "", (2020, 2024), "KNMB1", 3, &[
        kind("1.6 GTe", Gasoline, 1598, Cvt, FWD, &[("SE", 14), ("LE", 16), ("RE", 17)]),
        kind("TCe 260", Gasoline, 1332, Dct, FWD, &[("RE", 19), ("Inspire", 22)]),
        kind("1.6 E-Tech Hybrid", GasolineHybrid, 1598, Auto, FWD, &[("RE", 23), ("Inspire", 26)])]),

    model("BMW", "3 Series", "G20", (2019, 2025), "WBA5R", 2, &[
        kind("320i", Gasoline, 1998, Auto, RWD, &[("Luxury", 41), ("M Sport", 43)]),
        kind("320d", Diesel, 1995, Auto, RWD_AWD, &[("Luxury", 42), ("M Sport", 44)])]),
    model("BMW", "5 Series", "G30", (2017, 2023), "WBAJA", 4, &[
        kind("520d", Diesel, 1995, Auto, RWD_AWD, &[("Luxury Plus", 49), ("M Sport Plus", 52)]),
        kind("530i", Gasoline, 1998, Auto, RWD_AWD, &[("Luxury Plus", 52), ("M Sport Plus", 56)]),
        kind("530e", PlugInHybrid, 1998, Auto, RWD, &[("Luxury", 57), ("M Sport", 60)])]),
    model("BMW", "X3", "G01", (2018, 2024), "WBATX", 2, &[
        kind("xDrive20d", Diesel, 1995, Auto, AWD, &[("xLine", 48), ("M Sport", 51)])]),
    model("BMW", "X5", "G05", (2019, 2025), "WBACV", 1, &[
        kind("xDrive30d", Diesel, 2993, Auto, AWD, &[("xLine", 76), ("M Sport", 80)])]),
    model("Mercedes-Benz", "C-Class", "W205", (2014, 2021), "WDD25", 2, &[
        kind("C200", Gasoline, 1991, Auto, RWD, &[("Avantgarde", 39), ("AMG Line", 43)]),
        kind("C220d", Diesel, 1950, Auto, RWD_AWD, &[("Avantgarde", 41), ("AMG Line", 44)])]),
    model("Mercedes-Benz", "E-Class", "W213", (2016, 2023), "WDD23", 5, &[
        kind("E220d", Diesel, 1950, Auto, RWD_AWD, &[("Avantgarde", 50), ("Exclusive", 53)]),
        kind("E250", Gasoline, 1991, Auto, RWD, &[("Avantgarde", 48), ("Exclusive", 51)]),
        kind("E300", Gasoline, 1991, Auto, AWD, &[("Avantgarde", 55), ("Exclusive", 58), ("AMG Line", 61)])]),
    model("Mercedes-Benz", "S-Class", "W222", (2014, 2020), "WDD22", 1, &[
        kind("S350d", Diesel, 2925, Auto, AWD, &[("4MATIC", 100), ("Long", 108)])]),
    model("Mercedes-Benz", "GLC", "X253", (2016, 2022), "WDC25", 2, &[
        kind("GLC 220d", Diesel, 1950, Auto, AWD, &[("4MATIC", 48), ("4MATIC Premium", 52)])]),
    model("Audi", "A4", "B9", (2016, 2023), "WAUAF", 1, &[
        kind("40 TFSI", Gasoline, 1984, Dct, FWD_AWD, &[("Base", 39), ("Premium", 42)])]),
    model("Audi", "A6", "C8", (2019, 2025), "WAUF2", 2, &[
        kind("45 TFSI", Gasoline, 1984, Dct, AWD, &[("Base", 50), ("Premium", 53)]),
        kind("40 TDI", Diesel, 1968, Dct, FWD_AWD, &[("Base", 49), ("Premium", 52)])]),
    model("Audi", "Q5", "FY", (2019, 2025), "WAUFY", 1, &[
        kind("40 TDI", Diesel, 1968, Dct, AWD, &[("Base", 48), ("Premium", 52)])]),
    model("Volvo", "XC40", "", (2018, 2024), "YV1XZ", 1, &[
        kind("T4", Gasoline, 1969, Auto, AWD, &[("Momentum", 35), ("R-Design", 37), ("Inscription", 39)])]),
    model("Volvo", "XC60", "", (2017, 2025), "YV1UZ", 2, &[
        kind("B5", Gasoline, 1969, Auto, AWD, &[("Momentum", 47), ("Inscription", 52)]),
        kind("D5", Diesel, 1969, Auto, AWD, &[("Momentum", 46), ("Inscription", 51)])]),
    model("Volvo", "S90", "", (2016, 2025), "YV1PZ", 1, &[
        kind("B5", Gasoline, 1969, Auto, FWD, &[("Momentum", 45), ("Inscription", 50)])]),
];
