//! Reading the webhooks' part.

use super::{model::Webhooks, reader::Reader};
use crate::webhooks::address::Guard;

impl Reader {
    /// Reads the part.
    pub(super) fn webhooks(&mut self) -> Option<Webhooks> {
        let ports = self.ports("webhooks.ports");
        let open_networks = self.networks("webhooks.open_networks");
        let poll = self.milliseconds("webhooks.poll_milliseconds");
        let sends_max = self.positive("webhooks.sends_max");
        let partner_sends_max = self.positive("webhooks.partner_sends_max");
        let attempt = self.seconds("webhooks.attempt_seconds");
        let lease = self.seconds("webhooks.lease_seconds");
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
        })
    }

    fn ports(&mut self, key: &str) -> Option<Vec<u16>> {
        let texts: Vec<String> = self.get(key)?;
        let texts = texts.iter().map(|text| text.trim());
        let ports = texts.filter(|text| !text.is_empty()).map(str::parse);
        let ports = ports.collect::<Result<Vec<u16>, _>>();
        if ports.as_ref().map_or(true, |it| it.contains(&0)) {
            self.complain(key, "must be ports, 1 to 65535");
        }
        ports.ok()
    }
}
