//! `run_exports.json` (CEP 12), in the form of conda-index's `build_run_exports_data`: what every
//! package that is listed imposes on those built with it, `{}` where it imposes nothing.

use std::io::{self, Write};

use archive::package::Kind;

use super::repodata::{Each, quoted};

#[cfg(test)]
mod tests;

/// What Python takes for false, in the dialect: `run_exports_data or {}`.
const FALSE: [&str; 9] = ["null", "false", "0", "0.0", "-0.0", "\"\"", "[]", "{}", ""];

/// Writes the file without a line break at its end. `each` gives for every package its file name and
/// the text of its `run_exports`, `{}` where it has none.
pub(crate) fn write(out: &mut dyn Write, subdir: &str, each: Each<'_>) -> io::Result<()> {
    write!(
        out,
        "{{\"info\":{{\"subdir\":{},\"version\":1}}",
        quoted(subdir)
    )?;
    for (key, kind) in [("packages", Kind::TarBz2), ("packages.conda", Kind::Conda)] {
        write!(out, ",\"{key}\":{{")?;
        let mut first = true;
        each(kind, &mut |file, run_exports| {
            if !first {
                out.write_all(b",")?;
            }
            first = false;
            let run_exports = if FALSE.contains(&run_exports) {
                "{}"
            } else {
                run_exports
            };
            write!(out, "{}:{{\"run_exports\":{run_exports}}}", quoted(file))
        })?;
        out.write_all(b"}")?;
    }
    out.write_all(b"}")
}
