//! Reading of `[webhooks]`.

use serde::Deserialize;

use super::{model::Webhooks, reader::Reader};
use crate::webhooks::address::Guard;

impl Reader {
    /// Reads the section.
    pub(super) fn webhooks(&mut self) -> Option<Webhooks> {
        let ports = self.ports("webhooks.ports");
        let open_networks = self.networks("webhooks.open_networks");
        let poll = self.milliseconds("webhooks.poll_milliseconds");
        let sends_max = self.positive("webhooks.sends_max");
        let partner_sends_max = self.positive("webhooks.partner_sends_max");
        let attempt = self.seconds("webhooks.attempt_seconds");
        let lease = self.seconds("webhooks.lease_seconds");
        let backlog = self.seconds("webhooks.backlog_seconds");
        if attempt
            .zip(lease)
            .is_some_and(|(attempt, lease)| lease < attempt * 2)
        {
            self.complain(
                "webhooks.lease_seconds",
                "must be at least twice webhooks.attempt_seconds",
            );
        }
        Some(Webhooks {
            guard: Guard {
                ports: ports?,
                open_networks: open_networks?,
            },
            poll: poll?,
            sends_max: usize::try_from(sends_max?).ok()?,
            partner_sends_max: partner_sends_max?.into(),
            attempt: attempt?,
            lease: lease?,
            backlog: backlog?,
        })
    }

    /// Reads ports. In the environment a single port is a number.
    fn ports(&mut self, key: &str) -> Option<Vec<u16>> {
        let ports = match self.get(key)? {
            Ports::One(port) => vec![port],
            Ports::Many(ports) => ports,
        };
        let ports: Vec<_> = ports.iter().filter_map(Port::read).collect();
        if ports.contains(&0) {
            self.complain(key, "must be ports between 1 and 65535");
        }
        Some(ports)
    }
}

/// One or more ports, as written in the settings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ports {
    One(Port),
    Many(Vec<Port>),
}

/// A port, as written in the settings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(i64),
    Text(String),
}

impl Port {
    /// Converts it: 0 if it is invalid, `None` if it is empty.
    fn read(&self) -> Option<u16> {
        match self {
            Self::Number(number) => Some(u16::try_from(*number).unwrap_or_default()),
            Self::Text(text) if text.trim().is_empty() => None,
            Self::Text(text) => Some(text.trim().parse().unwrap_or_default()),
        }
    }
}
