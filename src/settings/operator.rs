//! Reading the operator's part.

use super::{
    model::{Gate, Operator, Server},
    reader::Reader,
};

impl Reader {
    /// Reads the part.
    pub(super) fn operator(&mut self) -> Option<Operator> {
        let listen = self.get("operator.listen");
        let connections_max = self.positive("operator.connections_max");
        let database_silence = self.milliseconds("operator.database_silence_milliseconds");
        Some(Operator {
            listen: listen?,
            connections_max: usize::try_from(connections_max?).ok()?,
            database_silence: database_silence?,
        })
    }

    /// Checks how it relates to the other parts.
    pub(super) fn check_operator(
        &mut self,
        operator: Option<&Operator>,
        server: Option<&Server>,
        gate: Option<&Gate>,
    ) {
        let Some(operator) = operator else { return };
        let is_theirs =
            |server: &Server| operator.listen.port() != 0 && operator.listen == server.listen;
        if server.is_some_and(is_theirs) {
            self.complain(
                "operator.listen",
                "is the partners' server.listen; it needs its own",
            );
        }
        if gate.is_some_and(|it| operator.database_silence < it.pulse * 2) {
            self.complain(
                "operator.database_silence_milliseconds",
                "must be at least twice gate.pulse_milliseconds",
            );
        }
    }
}
