//! Finds PostgreSQL's server programs on this machine, and checks that they work.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{EmbeddedError, account::Account, fetch};

/// The variable that names the directory of the programs. It also passes the directory to the keeper.
pub(super) const BIN_DIR: &str = "PG_BIN_DIR";
/// The variable that hides the installed servers, for tests of a machine without one.
const NO_SYSTEM: &str = "LMN_NO_SYSTEM_POSTGRES";
/// The directories of installed servers: parent, prefix of the version in a child's name, and subdirectory of the
/// child.
const STANDARD: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The programs of one server, which work for its account.
pub(super) struct Programs {
    pub(super) folder: PathBuf,
    major: String,
}

impl Programs {
    /// Returns the path of one of the programs.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns whether the programs can serve data of a major version, or any if there is no data yet.
    pub(super) fn serve(&self, major: Option<&str>) -> bool {
        major.is_none_or(|major| major == self.major)
    }
}

/// Finds programs that can serve the data, or downloads them.
pub(super) fn find_or_fetch(
    account: &Account,
    data: &Path,
    notice: &dyn Fn(&str),
) -> Result<Programs, EmbeddedError> {
    match find(account, data) {
        Err(EmbeddedError::NoServer { reason }) if fetch::could_serve(None) => {
            fetch::fetch(account, notice).map_err(|cause| EmbeddedError::NoServer {
                reason: format!("{reason}; {cause}"),
            })
        }
        Err(EmbeddedError::OtherVersion { data, major }) if fetch::could_serve(Some(&major)) => {
            fetch::fetch(account, notice).map_err(|_| EmbeddedError::OtherVersion { data, major })
        }
        found => found,
    }
}

/// Finds programs that can serve the data: those in `PG_BIN_DIR`, else the newest of the first directory that has
/// any.
pub(super) fn find(account: &Account, data: &Path) -> Result<Programs, EmbeddedError> {
    let major = major_of(data);
    if let Some(folder) = env::var_os(BIN_DIR).map(PathBuf::from) {
        let named =
            try_out(&folder, account).map_err(|reason| EmbeddedError::BinDir { folder, reason })?;
        if named.serve(major.as_deref()) {
            return Ok(named);
        }
    }
    let mut reason = "none was found".to_owned();
    for folder in candidates(account) {
        match try_out(&folder, account) {
            Ok(programs) if programs.serve(major.as_deref()) => return Ok(programs),
            Ok(_) => {}
            Err(cause) => reason = cause,
        }
    }
    Err(match major {
        Some(major) => EmbeddedError::OtherVersion {
            data: data.to_owned(),
            major,
        },
        None => EmbeddedError::NoServer { reason },
    })
}

/// Returns the major version that created the data, if there is any.
fn major_of(data: &Path) -> Option<String> {
    let version = fs::read_to_string(data.join("PG_VERSION")).ok()?;
    Some(version.trim().to_owned())
}

/// Runs `initdb --show` as the server's account, and returns the reason if the programs cannot be used.
///
/// This finds problems that the files do not show: copies without their libraries or their share directory, and
/// directories that the account cannot reach.
pub(super) fn try_out(folder: &Path, account: &Account) -> Result<Programs, String> {
    let initdb = folder.join("initdb");
    let output = account
        .command(&initdb)
        .args(["--show", "--pgdata=/nonexistent"])
        .output()
        .map_err(|error| format!("`{}` could not be run: {error}", initdb.display()))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let value = |key: &str| {
        stderr
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let (Some(version), Some(catalogue)) = (value("VERSION"), value("POSTGRES_BKI")) else {
        let reason = stderr.lines().next().unwrap_or("nothing").to_owned();
        return Err(format!("`{}` printed «{reason}»", initdb.display()));
    };
    if !Path::new(catalogue).is_file() {
        return Err(format!(
            "`{}` lacks its file `{catalogue}`",
            initdb.display()
        ));
    }
    Ok(Programs {
        folder: folder.to_owned(),
        major: major(version),
    })
}

/// Returns the directories that contain the programs, in order of preference.
fn candidates(account: &Account) -> impl Iterator<Item = PathBuf> {
    let mut folders = Vec::new();
    if env::var_os(NO_SYSTEM).is_none() {
        folders.extend(
            STANDARD
                .into_iter()
                .flat_map(|(parent, prefix, child)| versions(Path::new(parent), prefix, child)),
        );
        let path = env::var_os("PATH").unwrap_or_default();
        // A relative entry would let the owner of the current directory choose the programs.
        folders.extend(env::split_paths(&path).filter(|folder| folder.is_absolute()));
    }
    folders.extend(fetch::fetched(account));
    folders
        .into_iter()
        .filter(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// Returns `parent/prefixVERSION/child`, newest version first.
fn versions(parent: &Path, prefix: &str, child: &str) -> Vec<PathBuf> {
    let mut found: Vec<(f32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry
                .file_name()
                .to_str()?
                .strip_prefix(prefix)?
                .parse()
                .ok()?;
            Some((version, entry.path().join(child)))
        })
        .collect();
    found.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Returns the major version of `18.6`, `15.18 (Debian …)` or `9.6.24`, in the form of `PG_VERSION`.
fn major(version: &str) -> String {
    let numbers: Vec<&str> = version
        .split(|letter: char| !letter.is_ascii_digit())
        .collect();
    match numbers.as_slice() {
        ["9", second, ..] => format!("9.{second}"),
        [first, ..] => (*first).to_owned(),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{major, versions};

    #[test]
    fn versions_are_sorted_newest_first_and_other_names_ignored() {
        let parent = tempfile::tempdir().unwrap();
        for name in [
            "postgresql@9.6",
            "postgresql@18",
            "postgresql@15",
            "postgresql@",
            "libpq",
            "17",
        ] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        let found = versions(parent.path(), "postgresql@", "bin");
        let expected = [
            "postgresql@18/bin",
            "postgresql@15/bin",
            "postgresql@9.6/bin",
        ]
        .map(|name| parent.path().join(name));
        assert_eq!(found, expected);
    }

    #[test]
    fn major_version_is_read_from_the_version_of_initdb() {
        assert_eq!(major("15.18 (Debian 15.18-0+deb12u1)"), "15");
        assert_eq!(major("18.6"), "18");
        assert_eq!(major("19devel"), "19");
        assert_eq!(major("9.6.24"), "9.6");
    }
}
