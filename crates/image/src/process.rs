//! Programs that are run and waited for, but not for ever. What they say goes through files, so that nobody waits for
//! anybody else to read.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// What of a program's output is kept, in bytes.
const LONGEST_ANSWER: u64 = 64 << 20;

/// How much of its complaints is kept, in bytes: the end tells what went wrong.
const SHOWN: u64 = 4096;

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Its standard output.
    pub(crate) output: Vec<u8>,
    /// The end of its standard error.
    pub(crate) complaint: Vec<u8>,
}

/// Runs a program. An error says why it could not be begun, or that it was ended since its time was over.
pub(crate) fn run(command: &mut Command, input: &str, limit: Duration) -> io::Result<Ended> {
    let mut given = tempfile::tempfile()?;
    given.write_all(input.as_bytes())?;
    given.rewind()?;
    let mut output = tempfile::tempfile()?;
    let mut complaint = tempfile::tempfile()?;
    let mut child = command
        .stdin(given)
        .stdout(output.try_clone()?)
        .stderr(complaint.try_clone()?)
        .spawn()?;
    let Some(status) = wait(&mut child, limit)? else {
        let minutes = limit.as_secs() / 60;
        let problem = format!("it was not done in {minutes} minutes");
        return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
    };
    let mut ended = Ended {
        status,
        output: Vec::new(),
        complaint: Vec::new(),
    };
    output.rewind()?;
    output.take(LONGEST_ANSWER).read_to_end(&mut ended.output)?;
    let length = complaint.seek(SeekFrom::End(0))?;
    complaint.seek(SeekFrom::Start(length.saturating_sub(SHOWN)))?;
    complaint.take(SHOWN).read_to_end(&mut ended.complaint)?;
    Ok(ended)
}

/// Waits for a program to end. If it has not when its time is over, it is ended, and there is no status.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    let (shortest, longest) = (Duration::from_millis(1), Duration::from_millis(20));
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        // Nobody notices a twentieth more.
        std::thread::sleep((start.elapsed() / 20).clamp(shortest, longest));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_too_long_is_ended() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo begun; exec sleep 600"]);
        let error = run(&mut command, "", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cat; echo why >&2; exit 3"]);
        let ended = run(&mut command, "in", Duration::from_mins(10)).unwrap();
        assert_eq!((ended.status.code(), &*ended.output), (Some(3), &b"in"[..]));
        assert_eq!(ended.complaint, b"why\n");
    }
}
