//! The store of partners: [`partner`] rows, their API [`key`]s and their allowed [`network`]s.

mod key;
mod network;
mod partner;

pub(crate) use key::{insert_key, list_keys, lock_key_of_any_partner, set_last_used, update_key};
pub(crate) use network::{delete_network, insert_network, list_networks};
pub(crate) use partner::{
    find, find_grant_of_any_partner, find_owner, insert, list, lock, set_contact, set_limit,
};
