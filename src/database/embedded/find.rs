//! Looks for PostgreSQL's server programs on this machine, and makes sure that they work.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{EmbeddedError, account::Account, fetch};

/// Names the folder to take the programs from; also how the keeper is told what was found.
pub(super) const BIN_DIR: &str = "PG_BIN_DIR";
/// Hides the servers of this machine, so that the tests can do as if there were none.
const NO_SYSTEM: &str = "LMN_NO_SYSTEM_POSTGRES";
/// Where installed servers lie: a parent, what comes before the version in a child's name, and the folder in that.
const STANDARD: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The programs of one server that work for its account.
pub(super) struct Programs {
    pub(super) folder: PathBuf,
    major: String,
}

impl Programs {
    /// Returns the path of one of them.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Tells whether they can serve data of a major version, or any where there are no data yet.
    pub(super) fn serve(&self, major: Option<&str>) -> bool {
        major.is_none_or(|major| major == self.major)
    }
}

/// Finds programs that can serve the data, or fetches them.
pub(super) fn find_or_fetch(
    account: &Account,
    data: &Path,
    notice: &dyn Fn(&str),
) -> Result<Programs, EmbeddedError> {
    match find(account, data) {
        Err(EmbeddedError::NoServer { reason }) if fetch::could_serve(None) => {
            fetch::fetch(account, notice).map_err(|why| EmbeddedError::NoServer {
                reason: format!("{reason}; {why}"),
            })
        }
        Err(EmbeddedError::OtherVersion { data, major }) if fetch::could_serve(Some(&major)) => {
            fetch::fetch(account, notice).map_err(|_| EmbeddedError::OtherVersion { data, major })
        }
        found => found,
    }
}

/// Finds programs that can serve the data: what `PG_BIN_DIR` names, else the newest of the first place that has any.
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
            Err(why) => reason = why,
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

/// Returns the major version that made the data, if there are any.
fn major_of(data: &Path) -> Option<String> {
    let version = fs::read_to_string(data.join("PG_VERSION")).ok()?;
    Some(version.trim().to_owned())
}

/// Has `initdb` tell about itself as the server's account, and returns why it cannot be used.
///
/// This finds what a look at the files does not: copies without their libraries or their share folder, and folders that the account cannot reach.
pub(super) fn try_out(folder: &Path, account: &Account) -> Result<Programs, String> {
    let initdb = folder.join("initdb");
    let told = account
        .command(&initdb)
        .args(["--show", "--pgdata=/nonexistent"])
        .output()
        .map_err(|error| format!("`{}` does not run: {error}", initdb.display()))?;
    let told_text = String::from_utf8_lossy(&told.stderr);
    let value = |key: &str| {
        told_text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let (Some(version), Some(catalogue)) = (value("VERSION"), value("POSTGRES_BKI")) else {
        let reason = told_text.lines().next().unwrap_or("nothing").to_owned();
        return Err(format!("`{}` says «{reason}»", initdb.display()));
    };
    if !Path::new(catalogue).is_file() {
        return Err(format!("`{}` misses its `{catalogue}`", initdb.display()));
    }
    Ok(Programs {
        folder: folder.to_owned(),
        major: major(version),
    })
}

/// Returns the folders that have the programs, in the order of preference.
fn candidates(account: &Account) -> impl Iterator<Item = PathBuf> {
    let mut folders = Vec::new();
    if env::var_os(NO_SYSTEM).is_none() {
        folders.extend(
            STANDARD
                .into_iter()
                .flat_map(|(parent, prefix, child)| versions(Path::new(parent), prefix, child)),
        );
        let path = env::var_os("PATH").unwrap_or_default();
        // A relative entry would let whoever owns the current folder choose the programs.
        folders.extend(env::split_paths(&path).filter(|folder| folder.is_absolute()));
    }
    folders.extend(fetch::fetched(account));
    folders
        .into_iter()
        .filter(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// Returns `parent/prefixVERSION/child`, the newest version first.
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

/// Returns the major version of `18.6` or `15.18 (Debian …)` or `9.6.24`, as `PG_VERSION` has it.
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
    fn the_newest_version_comes_first_and_other_names_do_not_count() {
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
    fn the_major_version_is_read_from_what_initdb_says() {
        assert_eq!(major("15.18 (Debian 15.18-0+deb12u1)"), "15");
        assert_eq!(major("18.6"), "18");
        assert_eq!(major("19devel"), "19");
        assert_eq!(major("9.6.24"), "9.6");
    }
}
