//! The store of partners: [`partner`] rows, and their [`access`] by API keys and networks.

mod access;
mod partner;

pub(crate) use access::{
    delete_network, find_grant_of_any_partner, insert_key, insert_network, list_keys,
    list_networks, lock_key_of_any_partner, set_last_used, update_key,
};
pub(crate) use partner::{find, find_owner, insert, list, lock, set_contact, set_limit};
