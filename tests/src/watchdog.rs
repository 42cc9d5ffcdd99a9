//! Ends child processes when the test process ends, even by `kill -9`: a shell reads a pipe from the test process, and at
//! the end of input kills the process groups that are still registered.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};
use parking_lot::Mutex;

/// Reads `+ GROUP` and `- GROUP`; at the end of input, kills the process groups that remain.
///
/// It ignores the signals that a terminal or a test runner sends to all processes.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=' '
while read -r change group; do
  case $change in
    +) groups="$groups$group " ;;
    -) groups="${groups%%" $group "*} ${groups#*" $group "}" ;;
  esac
done
for group in $groups; do kill -9 "-$group"; done
"#;

/// One per process, started with the first child.
static WATCHDOG: Mutex<Option<(Child, ChildStdin)>> = Mutex::new(None);

/// Registers a process group.
pub(crate) fn register(group: u32) -> Result<()> {
    let mut watchdog = WATCHDOG.lock();
    if watchdog.is_none() {
        *watchdog = Some(start()?);
    }
    send(&mut watchdog, '+', group)
}

/// Unregisters a process group. It must still exist, because its number could be reused.
pub(crate) fn unregister(group: u32) -> Result<()> {
    send(&mut WATCHDOG.lock(), '-', group)
}

fn send(watchdog: &mut Option<(Child, ChildStdin)>, change: char, group: u32) -> Result<()> {
    let (_, list) = watchdog.as_mut().context("the watchdog is not running")?;
    writeln!(list, "{change} {group}").context("the watchdog has ended")
}

fn start() -> Result<(Child, ChildStdin)> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT, "tidegate-watchdog"]);
    // Its own process group and no inherited output: a test runner that waits for open pipes must not wait for it.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().context("cannot start /bin/sh")?;
    let list = child.stdin.take().context("the watchdog has no input")?;
    Ok((child, list))
}
