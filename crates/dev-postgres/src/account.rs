//! The account that the server runs as: PostgreSQL refuses to run as root.

use std::{
    env, fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use crate::{ClusterError, Product};

/// The file that lists the accounts of the system.
const PASSWD: &str = "/etc/passwd";

/// The account of the server: the current one, or an unprivileged one if the current one is root.
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether this process is root and runs the server as this account.
    pub(crate) is_substitute: bool,
    /// The product that uses the server.
    pub(crate) product: Product,
}

impl Account {
    /// Returns the current account; for root the account `postgres`, or `nobody` if it does not exist.
    pub(crate) fn of_server(product: Product) -> Result<Self, ClusterError> {
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            return Ok(Self {
                name: format!("uid {uid}"),
                uid: uid.as_raw(),
                gid: rustix::process::getegid().as_raw(),
                is_substitute: false,
                product,
            });
        }
        let passwd =
            fs::read_to_string(PASSWD).map_err(product.failed("read", Path::new(PASSWD)))?;
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| {
                let (uid, gid) = ids(&passwd, name)?;
                Some(Self {
                    name: name.to_owned(),
                    uid,
                    gid,
                    is_substitute: true,
                    product,
                })
            })
            .ok_or(ClusterError::NoAccount)
    }

    /// Returns a command that runs `program` as this account.
    ///
    /// Only `PATH` is passed on from this process's environment, which may contain secrets, and variables such as
    /// `PGPORT` that affect a server.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        if let Some(path) = env::var_os("PATH") {
            command.env("PATH", path);
        }
        if self.is_substitute {
            // The standard library also drops root's supplementary groups.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Returns whether this account may enter `folder` and all of its parents.
    pub(crate) fn reaches(&self, folder: &Path) -> bool {
        let passes = |folder: &Path| {
            folder.metadata().is_ok_and(|found| {
                let bit = match (found.uid(), found.gid()) {
                    (uid, _) if uid == self.uid => 0o100,
                    (_, gid) if gid == self.gid => 0o010,
                    _ => 0o001,
                };
                found.mode() & bit != 0
            })
        };
        !self.is_substitute || folder.ancestors().all(passes)
    }
}

/// Returns the user id and the group id of `name`, unless it is another name of root.
fn ids(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (found && uid != 0).then_some((uid, gid))
    })
}

#[cfg(test)]
mod tests {
    use super::ids;

    #[test]
    fn ids_are_those_of_the_name_and_never_those_of_root() {
        let passwd = "root:x:0:0::/root:/bin/sh\nno line\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\nnobody:x:0:0::/:/bin/sh\n";
        assert_eq!(ids(passwd, "postgres"), Some((101, 104)));
        assert_eq!(ids(passwd, "nobody"), None);
        assert_eq!(ids(passwd, "absent"), None);
    }
}
