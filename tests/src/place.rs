//! Places in a network of the test's own: each is a network namespace, and what runs there reaches
//! nothing but what the test connects it with. They end with the test, however it ends.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context as _, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Runtime};

/// Says that it is ready if all that is needed works, and holds the namespace then.
const HOLD: &str = "ip link set lo up &&
    ip link add cable type veth peer name end && ip link delete cable &&
    ip rule add pref 9 iif lo lookup 109 && ip rule delete pref 9 &&
    echo ready && exec cat";

/// A network namespace, and what runs in it.
#[derive(Debug)]
pub struct Place {
    runtime: Runtime,
    namespace: File,
    /// Holds the namespace until its input closes.
    holder: Child,
}

impl Place {
    /// A place with a loopback interface and nothing else; none where the system gives no network
    /// namespaces, with the reason on stderr.
    ///
    /// # Errors
    /// If one was made but cannot be used.
    pub fn make() -> anyhow::Result<Option<Self>> {
        let holder = Command::new("unshare")
            .args(["--net", "sh", "-c", HOLD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut holder = match holder {
            Ok(holder) => holder,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("no network namespaces here: there is no unshare (util-linux)");
                return Ok(None);
            }
            Err(error) => return Err(error).context("cannot run unshare"),
        };
        let mut said = String::new();
        let stdout = holder.stdout.take().context("its output is a pipe")?;
        BufReader::new(stdout).read_line(&mut said)?;
        if said.trim() != "ready" {
            holder.wait()?;
            eprintln!(
                "no network namespaces here: this needs root, iproute2 and a kernel with veth"
            );
            return Ok(None);
        }
        let namespace = File::open(format!("/proc/{}/ns/net", holder.id()))?;
        Ok(Some(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            namespace,
            holder,
        }))
    }

    /// Runs `work` on a thread in this place. Sockets stay where they were made; processes and
    /// threads started from here are here.
    ///
    /// # Errors
    /// If the thread cannot come here, or the work fails.
    pub fn run<T: Send>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(self.namespace.as_fd(), network)?;
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Waits for `work` in this place.
    ///
    /// # Errors
    /// As [`Place::run`].
    pub fn wait_for<T: Send>(
        &self,
        work: impl AsyncFnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        self.run(|| self.runtime.block_on(work()))
    }

    /// Runs `ip ARGUMENTS` here.
    ///
    /// # Errors
    /// If it fails.
    pub fn ip(&self, arguments: &str) -> anyhow::Result<()> {
        self.run(|| {
            let ended = Command::new("ip").args(arguments.split(' ')).status()?;
            ensure!(ended.success(), "ip {arguments}: {ended}");
            Ok(())
        })
    }

    /// Sets a kernel parameter of this place.
    ///
    /// # Errors
    /// If it cannot be set.
    pub fn set(&self, parameter: &str, value: &str) -> anyhow::Result<()> {
        let path = format!("/proc/sys/net/{parameter}");
        self.run(|| std::fs::write(&path, value).with_context(|| path.clone()))
    }

    /// A cable from here to `other`. Each end has a name and an address with its prefix length.
    ///
    /// # Errors
    /// If it cannot be laid.
    pub fn connect(
        &self,
        (name, address): (&str, &str),
        other: &Self,
        (other_name, other_address): (&str, &str),
    ) -> anyhow::Result<()> {
        let there = other.holder.id();
        self.ip(&format!(
            "link add {name} type veth peer name {other_name} netns {there}"
        ))?;
        for (place, name, address) in [(self, name, address), (other, other_name, other_address)] {
            place.ip(&format!("address add {address} dev {name}"))?;
            // One packet is one datagram, as it is on a line.
            place.ip(&format!("link set dev {name} gso_max_segs 1 up"))?;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
