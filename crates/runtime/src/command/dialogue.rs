//! What an interactive installation says and asks, in the order of constructor's `header.sh`, so
//! that a script which pipes `\nyes\nPATH\nno\n` into one can pipe it into the other. Answers come
//! from any reader and questions go to any writer.

use std::io::{self, BufRead, IsTerminal as _, Read as _, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::prefix;
use crate::plan::{Dialogue, Initialize, Plan};

#[cfg(test)]
mod tests;

/// Where answers come from and questions go.
pub(super) struct Console<'a> {
    pub(super) input: &'a mut dyn BufRead,
    pub(super) output: &'a mut dyn Write,
    /// Both are a terminal: long texts are paged, and a wrong answer can be given again.
    pub(super) terminal: bool,
}

/// Why a dialogue did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the license was not accepted, nothing was installed")]
    License,
    #[error("there is no answer on standard input, nothing was installed (-b asks nothing)")]
    NoAnswer,
    #[error("cannot read an answer from standard input")]
    Input(#[source] io::Error),
    #[error("the answer on standard input is not UTF-8, or far too long")]
    Unreadable,
    #[error(transparent)]
    Prefix(#[from] prefix::Error),
}

/// Whether both standard input and standard output are a terminal.
pub(super) fn on_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

impl Console<'_> {
    /// Says something. Whether anybody listens is not looked at.
    pub(super) fn say(&mut self, text: &str) {
        let _ = self
            .output
            .write_all(text.as_bytes())
            .and_then(|()| self.output.flush());
    }

    /// Greets, and has the licence accepted if there is one.
    pub(super) fn welcome(&mut self, plan: &Plan) -> Result<(), Error> {
        self.say(&format!("\nWelcome to {} {}\n", plan.name, plan.version));
        let Some(licence) = &plan.dialogue.licence else {
            return Ok(());
        };
        self.say(
            "\nBefore the installation can begin, please read the license agreement.\n\
             Press ENTER to continue\n>>> ",
        );
        self.answer()?.ok_or(Error::NoAnswer)?;
        self.page(licence);
        self.say("\nDo you accept the license terms? [yes|no]\n>>> ");
        loop {
            let answer = self.answer()?.ok_or(Error::NoAnswer)?;
            match answer.trim().to_lowercase().as_str() {
                "yes" => return Ok(()),
                "no" => return Err(Error::License),
                _ => self.say("Please answer 'yes' or 'no':\n>>> "),
            }
        }
    }

    /// Asks where to install. `accept` turns what was typed, or nothing for the proposal, into a
    /// path that can be used. On a terminal the question is asked again until it can; elsewhere the first answer counts, as
    /// the next line answers another question.
    pub(super) fn prefix<T>(
        &mut self,
        plan: &Plan,
        proposal: &str,
        accept: &dyn Fn(Option<&str>) -> Result<T, prefix::Error>,
    ) -> Result<T, Error> {
        self.say(&format!(
            "\n{} will now be installed into this location:\n{proposal}\n\n  \
             - Press ENTER to confirm the location\n  \
             - Press CTRL-C to abort the installation\n  \
             - Or specify a different location below\n\n",
            plan.name
        ));
        loop {
            self.say(&format!("[{proposal}] >>> "));
            let answer = self.answer()?.ok_or(Error::NoAnswer)?;
            match accept(Some(answer.trim()).filter(|text| !text.is_empty())) {
                Ok(path) => return Ok(path),
                Err(error) if self.terminal => self.say(&format!("{}\n", super::chain(&error))),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks whether the shell is to be initialised. No answer at all means no: the installation is
    /// complete, and nobody asked for more.
    pub(super) fn wants_initialisation(&mut self, dialogue: &Dialogue) -> Result<bool, Error> {
        let (what, default) = match (dialogue.initialize, dialogue.initialize_by_default) {
            (Initialize::No, _) => return Ok(false),
            (Initialize::Classic, default) => {
                ("conda is then activated whenever a shell starts", default)
            }
            (Initialize::Condabin, default) => {
                ("only the command `conda` is then added to PATH", default)
            }
        };
        let shown = if default { "yes" } else { "no" };
        self.say(&format!(
            "Do you wish to update your shell profile to automatically initialize conda?\n\
             ({what}; `conda init --reverse` undoes it)\n[yes|no]\n[{shown}] >>> "
        ));
        let answer = self.answer()?.map(|answer| answer.trim().to_lowercase());
        Ok(match answer.as_deref() {
            None => false,
            Some("") => default,
            Some(answer) => matches!(answer, "yes" | "y"),
        })
    }

    /// What somebody who does not want initialisation has to know.
    pub(super) fn explain_activation(&mut self, prefix: &Path, dialogue: &Dialogue) {
        let conda = prefix.join("bin/conda").display().to_string();
        let init = match dialogue.initialize {
            Initialize::No => return,
            Initialize::Classic => "init",
            Initialize::Condabin => "init --condabin",
        };
        self.say(&format!(
            "\nYour shell profile is as it was. To activate conda in one shell session:\n\n\
             eval \"$({conda} shell.YOUR_SHELL_NAME hook)\"\n\n\
             To have it in every session from then on:\n\n{conda} {init}\n"
        ));
    }

    /// A line without its line break; none at the end of input.
    fn answer(&mut self) -> Result<Option<String>, Error> {
        let mut line = Vec::new();
        let limit = 1 << 16;
        let read = (&mut *self.input)
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(Error::Input)?;
        if read == 0 {
            return Ok(None);
        }
        let ended = line.pop_if(|byte| *byte == b'\n').is_some();
        if !ended && read as u64 == limit {
            return Err(Error::Unreadable);
        }
        if !self.terminal {
            // What a terminal would have shown by itself.
            self.say("\n");
        }
        String::from_utf8(line)
            .map(Some)
            .map_err(|_| Error::Unreadable)
    }

    fn page(&mut self, text: &str) {
        if self.terminal && page_with("more", text) {
            return;
        }
        self.say(&format!("{}\n", text.trim_end()));
    }
}

/// Whether the pager could be run. What it does with the text, and how it ends, is between it and
/// the user.
fn page_with(pager: &str, text: &str) -> bool {
    let Ok(mut child) = Command::new(pager).stdin(Stdio::piped()).spawn() else {
        return false;
    };
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(text.as_bytes());
    }
    child.wait().is_ok_and(|status| status.code() != Some(127))
}
