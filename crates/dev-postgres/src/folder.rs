//! The private directory of a cluster: its path, its owner, its locks and its log.
//!
//! Root works here inside a directory of an unprivileged account, so every file is opened through the directory's
//! handle and never through a symbolic link.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Seek, SeekFrom},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Dir, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, openat},
    io::Errno,
};

use crate::{ClusterError, Product, account::Account};

/// The longest path, in bytes: PostgreSQL cuts those of its files at 1023.
const PATH_LIMIT: usize = 800;
/// The longest path of a directory with a socket: the socket's may have 104 to 108 bytes, and `/.s.PGSQL.5432` is
/// appended.
const SOCKETS_LIMIT: usize = 90;
/// The parent of the directories with the sockets of clusters whose path is longer than that. A constant and not a
/// variable of the environment, because all users of a cluster must find the same one.
const SOCKETS_PARENT: &str = "/tmp";
/// Bytes at the end of the log that are searched for a relevant line.
const LOG_END: u64 = 16 * 1024;

/// Held shared by every user of the cluster. This file is created first, so it also marks the directory as a cluster.
pub(crate) const USING: &str = "using.lock";
/// Held while the server is started or stopped.
pub(crate) const STARTING: &str = "starting.lock";
/// Held by the supervisor for as long as it runs.
pub(crate) const SUPERVISOR: &str = "supervisor.lock";

/// A directory that only the server's account can enter.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The directory with the socket: this one, or a separate one if its path is too long.
    sockets: PathBuf,
    handle: OwnedFd,
    product: Product,
}

/// The use of a cluster.
pub(crate) enum Use {
    /// A process uses the cluster, or is about to.
    Busy,
    /// No process uses the cluster, nor can one start to while these locks are held.
    Idle([File; 2]),
    /// The directory was removed.
    Gone,
}

impl Folder {
    /// Creates the directory unless it exists, in a place that the account can reach, and opens it.
    pub(crate) fn create(
        wanted: &Path,
        account: &Account,
        notice: &dyn Fn(&str),
    ) -> Result<Self, ClusterError> {
        let wanted = resolved(wanted, account)?;
        let reached = wanted
            .parent()
            .is_some_and(|parent| account.reaches(parent));
        let path = if reached {
            wanted.clone()
        } else {
            reachable_path(&wanted, account.product)
        };
        if path.as_os_str().len() > PATH_LIMIT {
            return Err(ClusterError::PathTooLong {
                path,
                limit: PATH_LIMIT,
            });
        }
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) if reached => {}
            Ok(()) => notice(&format!(
                "the account `{}` cannot reach {}: its PostgreSQL is stored in {}",
                account.name,
                wanted.display(),
                path.display()
            )),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(account.product.failed("create", &path)(error)),
        }
        Self::open(&path, account)
    }

    /// Opens a directory that is empty or a cluster of the account, and makes it private.
    pub(crate) fn open(path: &Path, account: &Account) -> Result<Self, ClusterError> {
        let handle = claim(path, account, &[Content::Nothing, Content::Cluster])?;
        Ok(Self {
            path: path.to_owned(),
            sockets: sockets_of(path, account)?,
            handle,
            product: account.product,
        })
    }

    /// Returns the path of the directory, without symbolic links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the directory with the socket.
    pub(crate) fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// Returns the product that uses the server.
    pub(crate) fn product(&self) -> Product {
        self.product
    }

    /// Removes the directory with the socket if it is a separate one.
    pub(crate) fn remove_sockets(&self) {
        if self.sockets != self.path {
            // One that cannot be removed is used again by the next cluster at this path.
            let _ = fs::remove_dir_all(&self.sockets);
        }
    }

    /// Returns a function that adds an operation on this directory, as a verb, to a system error.
    pub(crate) fn failed<E: Into<io::Error>>(
        &self,
        doing: &'static str,
    ) -> impl FnOnce(E) -> ClusterError {
        self.product.failed(doing, &self.path)
    }

    /// Returns the data directory of the server.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Opens a lock file, and creates it if it is missing.
    pub(crate) fn lock_file(&self, name: &str) -> Result<File, ClusterError> {
        self.file(name, OFlags::RDWR | OFlags::CREATE)
            .map_err(self.product.failed("open", &self.path.join(name)))
    }

    /// Opens the log of the supervisor and its server for appending.
    pub(crate) fn log(&self) -> Result<File, ClusterError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        self.file("log", flags)
            .map_err(self.product.failed("open", &self.log_path()))
    }

    /// Returns the path of the log.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Returns whether the end of the log contains `words`.
    pub(crate) fn log_contains(&self, words: &str) -> bool {
        self.log_end().contains(words)
    }

    /// Returns the log's last fatal line, or its last line if there is none.
    pub(crate) fn last_log_line(&self) -> String {
        let end = self.log_end();
        let mut lines = end.lines().rev();
        let fatal = lines
            .clone()
            .find(|line| line.contains("FATAL") || line.contains("PANIC"));
        fatal
            .or_else(|| lines.next())
            .unwrap_or("nothing")
            .to_owned()
    }

    /// Returns the end of the log, or an empty text if it cannot be read.
    fn log_end(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut log = self.file("log", OFlags::RDONLY)?;
            let start = log.metadata()?.len().saturating_sub(LOG_END);
            log.seek(SeekFrom::Start(start))?;
            let mut end = Vec::new();
            log.read_to_end(&mut end)?;
            Ok(end)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    /// Returns the use of the cluster. If no process uses it, the returned locks keep new users waiting.
    pub(crate) fn try_empty(&self) -> Use {
        // Opened again and never created: a missing file means that the directory was removed.
        let open = |name| self.file(name, OFlags::RDWR);
        let (Ok(starting), Ok(using)) = (open(STARTING), open(USING)) else {
            return Use::Gone;
        };
        match (starting.try_lock(), using.try_lock()) {
            (Ok(()), Ok(())) => Use::Idle([starting, using]),
            _ => Use::Busy,
        }
    }

    /// Opens a file of this directory itself: a symbolic link, which the account may have created, is refused.
    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(
            &self.handle,
            name,
            flags,
            Mode::RUSR | Mode::WUSR,
        )?))
    }
}

/// Opens a directory, not through a symbolic link, and makes it private. It must belong to the account and have one of
/// the `expected` contents; an empty one of root is handed over to the account that root runs the server as.
fn claim(path: &Path, account: &Account, expected: &[Content]) -> Result<OwnedFd, ClusterError> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let not_ours = || ClusterError::NotOurs {
        path: path.to_owned(),
        account: account.name.clone(),
    };
    let product = account.product;
    let handle = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::LOOP | Errno::NOTDIR | Errno::ACCESS) => return Err(not_ours()),
        opened => opened.map_err(product.failed("open", path))?,
    };
    // The content is read before the owner: another process that has just created a file here has changed the owner
    // before that.
    let content = content(&handle).map_err(product.failed("read", path))?;
    let owner = fstat(&handle).map_err(product.failed("read", path))?.st_uid;
    if !expected.contains(&content) {
        return Err(not_ours());
    }
    if owner != account.uid {
        let is_empty_of_root = content == Content::Nothing && owner == 0 && account.is_substitute;
        if !is_empty_of_root {
            return Err(not_ours());
        }
        let (user, group) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
        fchown(&handle, Some(user), Some(group)).map_err(product.failed("hand over", path))?;
    }
    fchmod(&handle, Mode::RWXU).map_err(product.failed("make private", path))?;
    Ok(handle)
}

/// Returns the directory with the socket of the cluster at `path`: the cluster's own, or a short one that is created if
/// it is missing, for example because the system has emptied its temporary directory.
fn sockets_of(path: &Path, account: &Account) -> Result<PathBuf, ClusterError> {
    if path.as_os_str().len() <= SOCKETS_LIMIT {
        return Ok(path.to_owned());
    }
    let (product, hash) = (account.product, hash(path));
    let sockets = Path::new(SOCKETS_PARENT).join(format!("{}-{hash:016x}", product.name));
    if let Err(error) = DirBuilder::new().mode(0o700).create(&sockets)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(product.failed("create", &sockets)(error));
    }
    claim(&sockets, account, &[Content::Nothing, Content::Foreign])?;
    Ok(sockets)
}

/// The content of a directory.
#[derive(PartialEq, Eq)]
enum Content {
    Nothing,
    Cluster,
    Foreign,
}

/// Classifies the names in a directory. The users' lock is the first file of a cluster that is being created.
fn content(handle: &OwnedFd) -> io::Result<Content> {
    let mut content = Content::Nothing;
    for entry in Dir::read_from(handle)? {
        match entry?.file_name().to_bytes() {
            b"." | b".." => {}
            name if name == USING.as_bytes() => return Ok(Content::Cluster),
            _ => content = Content::Foreign,
        }
    }
    Ok(content)
}

/// Returns the absolute path with the links of its parent resolved. Creates the parent if it is missing.
///
/// The result is the same for every spelling of a path, because the server's command line is compared with it.
fn resolved(wanted: &Path, account: &Account) -> Result<PathBuf, ClusterError> {
    let product = account.product;
    let absolute = std::path::absolute(wanted).map_err(product.failed("find", wanted))?;
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(ClusterError::NotOurs {
            path: absolute,
            account: account.name.clone(),
        });
    };
    fs::create_dir_all(parent).map_err(product.failed("create", parent))?;
    Ok(parent
        .canonicalize()
        .map_err(product.failed("find", parent))?
        .join(name))
}

/// Returns the path for a directory that the account cannot reach at the wanted path: below a parent that only root
/// can write to.
fn reachable_path(wanted: &Path, product: Product) -> PathBuf {
    let hash = hash(wanted);
    PathBuf::from(format!("/var/lib/{}-{hash:016x}", product.name))
}

/// Returns a hash of a path: FNV-1a, because the names that contain it must never change.
fn hash(path: &Path) -> u64 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
