//! Large memory pages for simulations. A world is read all over, and most of an event's time is waiting
//! for memory: with pages of 2 MiB, 100,000 users take a fifth less time and a hundredth more memory.
//!
//! glibc reads how it is to get memory once, when a process starts, so the program starts itself again
//! with that setting. Not for the rest of the program: nodes would hold memory they do not use.

/// The setting, and the variable it is read from.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TUNABLE: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

/// Starts the program again with large pages, in the same process. Returns if it has them, if whoever
/// started it set something else, and where that does not work: then it is slower, and no more.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn use_large() {
    use std::os::unix::process::CommandExt as _;

    let (variable, setting) = TUNABLE;
    if std::env::var_os(variable).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    let failed = again.args(arguments).env(variable, setting).exec();
    tracing::debug!("no large pages: {failed}");
}

/// Other systems have no such setting.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn use_large() {}
