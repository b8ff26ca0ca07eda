//! Orders as JSON for operators: with their partner, and with everything that happened to them.

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema, Type, schema::SchemaType,
    },
};

use crate::{
    audit::AuditView,
    events::model::EventView,
    orders::{
        store::OwnedOrder,
        view::{HistoryView, OrderView},
    },
    values::id::PartnerId,
    vehicles::{
        model::Vehicle,
        view::{Pricing, VehicleSummary, VehicleView, summary_json},
    },
};

/// A partner, where another resource refers to it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PartnerRef {
    pub id: PartnerId,
    pub name: String,
}

/// An order of any partner: all members of an order as its partner reads it, and whose it is.
#[derive(Debug, Serialize)]
pub(crate) struct OperatorOrder {
    #[serde(flatten)]
    order: Map<String, Value>,
    pub partner: PartnerRef,
    /// The user at the partner for whom the order was placed.
    external_user_id: Option<String>,
}

impl OperatorOrder {
    /// Returns the view of an order.
    pub(crate) fn new(owned: OwnedOrder) -> serde_json::Result<Self> {
        Ok(Self {
            order: serde_json::from_slice(&owned.order.into_bytes())?,
            partner: PartnerRef {
                id: owned.partner,
                name: owned.partner_name,
            },
            external_user_id: owned.external_user_id,
        })
    }

    /// Returns a member of the order as text; empty if it has no value.
    pub(crate) fn text(&self, name: &str) -> String {
        text_of(&self.order, name)
    }
}

impl ToSchema for OperatorOrder {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        OrderView::schemas(schemas);
        schemas.push((PartnerRef::name().into(), PartnerRef::schema()));
        PartnerRef::schemas(schemas);
    }
}

impl PartialSchema for OperatorOrder {
    fn schema() -> RefOr<Schema> {
        let user = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some(
                "The user at the partner for whom the order was placed.",
            ));
        let partner = Ref::from_schema_name(PartnerRef::name());
        let members = [
            ("partner", partner.into()),
            ("external_user_id", user.into()),
        ];
        extended(OrderView::schema(), members)
    }
}

/// An order with everything that happened to it.
#[derive(Debug, Serialize)]
pub(crate) struct OrderStory {
    #[serde(flatten)]
    pub order: OperatorOrder,
    /// The steps, the oldest first.
    pub history: Vec<HistoryView>,
    /// The events that were made for the partner, the oldest first, with the status of their delivery.
    pub events: Vec<EventView>,
    /// The changes, by whom and under which request, the oldest first.
    pub audit: Vec<AuditView>,
    /// The vehicle as it was when the order was placed; null for an order that is older than this record.
    pub vehicle: Option<Box<RawValue>>,
}

impl ToSchema for OrderStory {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        fn push<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push((T::name().into(), T::schema()));
            T::schemas(schemas);
        }
        OperatorOrder::schemas(schemas);
        push::<HistoryView>(schemas);
        push::<EventView>(schemas);
        push::<AuditView>(schemas);
        push::<VehicleView>(schemas);
    }
}

impl PartialSchema for OrderStory {
    fn schema() -> RefOr<Schema> {
        fn list<T: ToSchema>(description: &str) -> RefOr<Schema> {
            let items = Ref::from_schema_name(T::name());
            let array = ArrayBuilder::new().items(items);
            array.description(Some(description)).into()
        }
        let vehicle = OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Null))
            .item(Ref::from_schema_name(VehicleView::name()))
            .description(Some(
                "The vehicle as it was when the order was placed; null for an order that is older than this record.",
            ));
        let members = [
            (
                "history",
                list::<HistoryView>("The steps, the oldest first."),
            ),
            (
                "events",
                list::<EventView>(
                    "The events for the partner, the oldest first, with the status of their delivery.",
                ),
            ),
            (
                "audit",
                list::<AuditView>(
                    "The changes, by whom and under which request, the oldest first.",
                ),
            ),
            ("vehicle", vehicle.into()),
        ];
        extended(OperatorOrder::schema(), members)
    }
}

/// A vehicle of a bid sheet: all members of a vehicle in a list, and its location.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct SheetVehicle(Map<String, Value>);

impl SheetVehicle {
    /// Returns the view of a vehicle.
    pub(crate) fn new(vehicle: &Vehicle) -> serde_json::Result<Self> {
        let summary = summary_json(&vehicle.listing, vehicle.updated_at)?;
        let mut members: Map<String, Value> = serde_json::from_str(&summary)?;
        let location = vehicle.listing.details.location.clone();
        members.insert("location".to_owned(), location.into());
        Ok(Self(members))
    }

    /// Returns a member as text; empty if it has no value.
    pub(crate) fn text(&self, name: &str) -> String {
        text_of(&self.0, name)
    }
}

impl ToSchema for SheetVehicle {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        VehicleSummary::<Pricing>::schemas(schemas);
    }
}

impl PartialSchema for SheetVehicle {
    fn schema() -> RefOr<Schema> {
        let location = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("Where the vehicle stands."));
        let members = [("location", location.into())];
        extended(VehicleSummary::<Pricing>::schema(), members)
    }
}

/// Returns the schema of an object with further members.
fn extended<const N: usize>(
    schema: RefOr<Schema>,
    members: [(&str, RefOr<Schema>); N],
) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut object)) = schema else {
        return schema;
    };
    for (name, member) in members {
        object.properties.insert(name.to_owned(), member);
    }
    Schema::Object(object).into()
}

/// Returns a member as text; empty if it has no value.
fn text_of(members: &Map<String, Value>, name: &str) -> String {
    match members.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
