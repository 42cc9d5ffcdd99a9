//! Nothing we start may outlive us, not even if we are killed with -9: a shell holds the other end of a pipe, and when
//! we are gone it reads the end of it and kills whatever is still on its list.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};
use parking_lot::Mutex;

/// Reads `+ GROUP` and `- GROUP`; at the end of input, kills the process groups that remain.
///
/// It ignores the signals that a terminal or a test runner sends to everybody, because it has work to do just then.
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

/// One for the whole process, started with the first child.
static WATCHDOG: Mutex<Option<(Child, ChildStdin)>> = Mutex::new(None);

/// Puts a process group on the list.
pub(crate) fn watch(group: u32) -> Result<()> {
    let mut watchdog = WATCHDOG.lock();
    if watchdog.is_none() {
        *watchdog = Some(start()?);
    }
    tell(&mut watchdog, '+', group)
}

/// Takes a process group off the list. It must still exist, so that its number cannot belong to anyone else.
pub(crate) fn forget(group: u32) -> Result<()> {
    tell(&mut WATCHDOG.lock(), '-', group)
}

fn tell(watchdog: &mut Option<(Child, ChildStdin)>, change: char, group: u32) -> Result<()> {
    let (_, list) = watchdog.as_mut().context("the watchdog was never started")?;
    writeln!(list, "{change} {group}").context("the watchdog is gone")
}

fn start() -> Result<(Child, ChildStdin)> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT, "tidegate-watchdog"]);
    // In a group of its own, with no output of ours: a runner that waits for our pipes to close must not wait for it.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().context("cannot start /bin/sh")?;
    let list = child.stdin.take().context("the watchdog has no input")?;
    Ok((child, list))
}
