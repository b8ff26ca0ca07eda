//! Reading of `[operator]`, which a health check also reads alone.

use std::path::Path;

use super::{
    complaints::ConfigErrors,
    model::{Database, Operator, Server},
    reader::Reader,
};

impl Operator {
    /// Reads this section alone: a health check of a running server needs no database URL.
    pub fn read(file: Option<&Path>, variables: &[(String, String)]) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::open(file, variables)?;
        let operator = reader.operator();
        reader.close(operator)
    }
}

impl Reader {
    /// Reads the section.
    pub(super) fn operator(&mut self) -> Option<Operator> {
        let listen = self.get("operator.listen");
        let connections_max = self.positive("operator.connections_max");
        let database_silence = self.milliseconds("operator.database_silence_milliseconds");
        let healthcheck = self.seconds("operator.healthcheck_seconds");
        Some(Operator {
            listen: listen?,
            connections_max: usize::try_from(connections_max?).ok()?,
            database_silence: database_silence?,
            healthcheck: healthcheck?,
        })
    }

    /// Checks its relations to other sections.
    pub(super) fn check_operator(
        &mut self,
        operator: Option<&Operator>,
        server: Option<&Server>,
        database: Option<&Database>,
    ) {
        let Some(operator) = operator else { return };
        let is_partners_address =
            |server: &Server| operator.listen.port() != 0 && operator.listen == server.listen;
        if server.is_some_and(is_partners_address) {
            self.complain("operator.listen", "must differ from server.listen");
        }
        if database.is_some_and(|it| operator.database_silence < it.heartbeat * 2) {
            self.complain(
                "operator.database_silence_milliseconds",
                "must be at least twice database.heartbeat_milliseconds",
            );
        }
    }
}
