//! A disk in memory that can be full, fail at any operation, write short, and lose power.
//!
//! What was not synced is lost, torn at sectors or kept, each write by itself, when the power
//! goes; names that were not synced likewise.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use antiphon_node::store::disk::{Disk, DiskFile};

const SECTOR: usize = 512;
const BLOCK: u64 = 4096;

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Error(ErrorKind),
    /// Writes take half of what they are given, and then none of the rest.
    Torn(ErrorKind),
    /// Writes and reads take half of what they are given, which is legal.
    Short,
}

#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    files: BTreeMap<PathBuf, Inode>,
    durable: BTreeMap<PathBuf, Inode>,
    unsynced_names: Vec<Name>,
    operations: u64,
    /// From which operation on, for how many, and how.
    fault: Option<(u64, u64, Fault)>,
    capacity: Option<u64>,
}

#[derive(Clone, Debug)]
enum Name {
    Given(PathBuf, Inode),
    Taken(PathBuf),
    Moved(PathBuf, PathBuf, Inode),
}

type Inode = Arc<Mutex<Content>>;

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    blocks: BTreeSet<u64>,
    durable: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
}

struct SimFile {
    disk: SimDisk,
    inode: Inode,
}

impl SimDisk {
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// Lets operations fail from the `at`th from now on, `count` of them.
    pub fn fail(&self, at: u64, count: u64, fault: Fault) {
        let mut world = self.world();
        let at = world.operations + at;
        world.fault = Some((at, count, fault));
    }

    pub fn heal(&self) {
        self.world().fault = None;
    }

    /// Room for so many bytes and no more; nothing for no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world().capacity = bytes;
    }

    pub fn used(&self) -> u64 {
        self.world().used()
    }

    /// The same contents under another folder, as after `kill -9`: nothing is lost.
    pub fn copied(&self, from: &Path, to: &Path) -> Self {
        let copy = Self::default();
        for (path, inode) in &self.world().files {
            let content = Content {
                now: inode.lock().expect("nobody panics with it").now.clone(),
                ..Content::default()
            };
            copy.world().adopt(
                to.join(path.strip_prefix(from).expect("below the folder")),
                content,
            );
        }
        copy
    }

    /// What a power cut leaves, seen under another folder.
    pub fn cut(&self, from: &Path, to: &Path, dice: &mut Dice) -> Self {
        let world = self.world();
        let mut names = world.durable.clone();
        for name in &world.unsynced_names {
            if dice.below(2) == 0 {
                continue;
            }
            match name.clone() {
                Name::Given(path, inode) => drop(names.insert(path, inode)),
                Name::Taken(path) => drop(names.remove(&path)),
                Name::Moved(from, to, inode) => {
                    names.remove(&from);
                    names.insert(to, inode);
                }
            }
        }
        let left = Self::default();
        for (path, inode) in names {
            let now = inode.lock().expect("nobody panics with it").after_cut(dice);
            let content = Content {
                now,
                ..Content::default()
            };
            left.world().adopt(
                to.join(path.strip_prefix(from).expect("below the folder")),
                content,
            );
        }
        left
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl World {
    fn adopt(&mut self, path: PathBuf, mut content: Content) {
        content.durable = content.now.clone();
        content.blocks = (0..(content.now.len() as u64).div_ceil(BLOCK)).collect();
        let inode = Arc::new(Mutex::new(content));
        self.durable.insert(path.clone(), Arc::clone(&inode));
        self.files.insert(path, inode);
    }

    fn used(&self) -> u64 {
        let blocks =
            |inode: &Inode| inode.lock().expect("nobody panics with it").blocks.len() as u64;
        self.files.values().map(|inode| blocks(inode) * BLOCK).sum()
    }

    /// Counts an operation; the fault that hits it, if any.
    fn fault(&mut self) -> Option<Fault> {
        self.operations += 1;
        let (at, count, fault) = self.fault?;
        (at..at.saturating_add(count))
            .contains(&self.operations)
            .then_some(fault)
    }

    fn check(&mut self) -> io::Result<()> {
        match self.fault() {
            Some(Fault::Error(kind) | Fault::Torn(kind)) => Err(kind.into()),
            Some(Fault::Short) | None => Ok(()),
        }
    }
}

impl Content {
    fn write(&mut self, bytes: &[u8], offset: u64) {
        let end = offset as usize + bytes.len();
        self.now.resize(self.now.len().max(end), 0);
        self.now[offset as usize..end].copy_from_slice(bytes);
        self.unsynced.push((offset, bytes.to_vec()));
        self.blocks.extend(blocks(offset, bytes.len()));
    }

    fn after_cut(&self, dice: &mut Dice) -> Vec<u8> {
        let mut left = self.durable.clone();
        for (offset, bytes) in &self.unsynced {
            let sectors = bytes.len().div_ceil(SECTOR);
            let kept = match dice.below(3) {
                0 => 0,
                1 => dice.below(sectors as u64 + 1) as usize,
                _ => sectors,
            };
            let bytes = &bytes[..bytes.len().min(kept * SECTOR)];
            let end = *offset as usize + bytes.len();
            left.resize(left.len().max(end), 0);
            left[*offset as usize..end].copy_from_slice(bytes);
        }
        left
    }
}

fn blocks(offset: u64, len: usize) -> std::ops::Range<u64> {
    offset / BLOCK..(offset + len as u64).div_ceil(BLOCK)
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.check()?;
        let inode = match world.files.get(path) {
            Some(inode) => Arc::clone(inode),
            None if create => {
                let inode = Inode::default();
                world.files.insert(path.to_owned(), Arc::clone(&inode));
                world
                    .unsynced_names
                    .push(Name::Given(path.to_owned(), Arc::clone(&inode)));
                inode
            }
            None => return Err(ErrorKind::NotFound.into()),
        };
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.world().check()?;
        // The index and the lock live in the real folder.
        std::fs::create_dir_all(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check()?;
        if world.files.remove(path).is_some() {
            world.unsynced_names.push(Name::Taken(path.to_owned()));
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check()?;
        let inode = world.files.remove(from).ok_or(ErrorKind::NotFound)?;
        world.files.insert(to.to_owned(), Arc::clone(&inode));
        world
            .unsynced_names
            .push(Name::Moved(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check()?;
        let within = |name: &PathBuf| name.parent() == Some(path);
        world.unsynced_names.retain(|name| match name {
            Name::Given(name, _) | Name::Taken(name) | Name::Moved(name, ..) => !within(name),
        });
        let files = world.files.clone();
        world.durable.retain(|name, _| !within(name));
        world
            .durable
            .extend(files.into_iter().filter(|(name, _)| within(name)));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut world = self.world();
        world.check()?;
        let below = world
            .files
            .keys()
            .filter_map(|file| file.strip_prefix(path).ok());
        let first: BTreeSet<_> = below.filter_map(|rest| rest.iter().next()).collect();
        Ok(first.into_iter().map(|name| path.join(name)).collect())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let fault = self.disk.world().fault();
        let wanted = match fault {
            Some(Fault::Error(kind) | Fault::Torn(kind)) => return Err(kind.into()),
            Some(Fault::Short) => into.len().div_ceil(2),
            None => into.len(),
        };
        let content = self.inode.lock().expect("nobody panics with it");
        let rest = content.now.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(wanted);
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut world = self.disk.world();
        let taken = match world.fault() {
            Some(Fault::Error(kind)) => return Err(kind.into()),
            Some(Fault::Torn(kind)) => {
                self.inode
                    .lock()
                    .expect("nobody panics with it")
                    .write(&bytes[..bytes.len() / 2], offset);
                return Err(kind.into());
            }
            Some(Fault::Short) => bytes.len().div_ceil(2),
            None => bytes.len(),
        };
        if let Some(capacity) = world.capacity {
            let used = world.used();
            let inode = self.inode.lock().expect("nobody panics with it");
            let fresh = blocks(offset, taken).filter(|block| !inode.blocks.contains(block));
            if used + fresh.count() as u64 * BLOCK > capacity {
                return Err(ErrorKind::StorageFull.into());
            }
        }
        self.inode
            .lock()
            .expect("nobody panics with it")
            .write(&bytes[..taken], offset);
        Ok(taken)
    }

    fn write_pieces_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
        self.write_at(&bytes, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.disk.world().check()?;
        Ok(self.inode.lock().expect("nobody panics with it").now.len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.world().check()?;
        let mut content = self.inode.lock().expect("nobody panics with it");
        content.durable = content.now.clone();
        content.unsynced.clear();
        Ok(())
    }
}

/// Numbers that look random and are the same every time (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}
