//! rss.xml: the hundred names that were updated last, in the form of conda-index
//! (`conda_index/index/rss.py`), which links to anaconda.org. Unlike there, the dates of the whole
//! feed are those of the newest package, so that the same channel gives the same bytes; names of
//! the same time stand in their order; of a list (some recipes have several sources) the first one
//! is written; and characters that XML 1.0 forbids are replaced.

use std::cmp::Reverse;
use std::fmt::{self, Write as _};

use super::channeldata::Summary;
use super::date::Mail;

/// How many names the feed has.
const RECENT: usize = 100;

/// The feed of a channel with these names and entries.
pub(crate) fn feed(channel_name: &str, packages: &[(&str, &Summary)]) -> String {
    let mut recent = packages.to_vec();
    recent.sort_by_key(|(name, summary)| (Reverse(summary.timestamp), *name));
    recent.truncate(RECENT);
    let newest = recent.first().map_or(0, |(_, summary)| summary.timestamp);

    let mut feed = "<?xml version=\"1.0\" ?>\n<rss version=\"2.0\">\n  <channel>\n".to_owned();
    let mut element = |depth: usize, name: &str, content: &dyn fmt::Display| {
        // Writing to a String does not fail.
        let _ = writeln!(feed, "{:depth$}<{name}>{content}</{name}>", "");
    };
    let title = format!("anaconda.org/{channel_name}");
    let link = format!("https://conda.anaconda.org/{channel_name}");
    let count = recent.len();
    element(4, "title", &Text(&title));
    element(4, "link", &Text(&link));
    let description = format!("The most recent {count} updates for {channel_name}.");
    element(4, "description", &Text(&description));
    element(4, "pubDate", &Mail(newest));
    element(4, "lastBuildDate", &Mail(newest));
    for (name, summary) in recent {
        let title = format!(
            "{name} {} [{}]",
            summary.version,
            summary.subdirs.join(", ")
        );
        let described = ["description", "summary"].map(|key| summary.text(key));
        let described = described.into_iter().find(|text| !text.is_empty());
        feed.push_str("    <item>\n");
        let mut element = |name: &str, content: &dyn fmt::Display| {
            let _ = writeln!(feed, "      <{name}>{content}</{name}>");
        };
        element("title", &Text(&title));
        element("description", &Text(described.unwrap_or("No description.")));
        for (name, key) in [
            ("link", "doc_url"),
            ("comments", "dev_url"),
            ("guid", "source_url"),
        ] {
            if !summary.text(key).is_empty() {
                element(name, &Text(summary.text(key)));
            }
        }
        element("pubDate", &Mail(summary.timestamp));
        if !summary.text("home").is_empty() {
            element("source", &Text(summary.text("home")));
        }
        feed.push_str("    </item>\n");
    }
    feed.push_str("  </channel>\n</rss>\n");
    feed
}

/// Text inside an element.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\t' | '\n' => formatter.write_char(character)?,
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => formatter.write_char('\u{fffd}')?,
                _ => formatter.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Summary, feed};

    fn summary(version: &str, timestamp: i64, texts: &[(&'static str, &str)]) -> Summary {
        Summary {
            version: version.to_owned(),
            timestamp,
            subdirs: vec!["linux-64".to_owned(), "noarch".to_owned()],
            texts: texts
                .iter()
                .map(|(key, text)| (*key, (*text).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn a_feed_has_the_form_of_conda_index() {
        let new = summary(
            "2.0",
            1_699_933_655,
            &[
                ("summary", "Short."),
                ("description", "Long."),
                ("doc_url", "https://example.org/doc"),
                ("dev_url", "https://example.org/dev"),
                ("source_url", "https://example.org/a.tar.gz"),
                ("home", "https://example.org"),
            ],
        );
        let old = summary("1.0", 5, &[]);
        let expected = "\
<?xml version=\"1.0\" ?>
<rss version=\"2.0\">
  <channel>
    <title>anaconda.org/mine</title>
    <link>https://conda.anaconda.org/mine</link>
    <description>The most recent 2 updates for mine.</description>
    <pubDate>Tue, 14 Nov 2023 03:47:35 GMT</pubDate>
    <lastBuildDate>Tue, 14 Nov 2023 03:47:35 GMT</lastBuildDate>
    <item>
      <title>new 2.0 [linux-64, noarch]</title>
      <description>Long.</description>
      <link>https://example.org/doc</link>
      <comments>https://example.org/dev</comments>
      <guid>https://example.org/a.tar.gz</guid>
      <pubDate>Tue, 14 Nov 2023 03:47:35 GMT</pubDate>
      <source>https://example.org</source>
    </item>
    <item>
      <title>old 1.0 [linux-64, noarch]</title>
      <description>No description.</description>
      <pubDate>Thu, 01 Jan 1970 00:00:05 GMT</pubDate>
    </item>
  </channel>
</rss>
";
        assert_eq!(feed("mine", &[("old", &old), ("new", &new)]), expected);
    }

    #[test]
    fn hostile_texts_stay_texts() {
        let evil = summary(
            "1",
            1,
            &[("summary", "]]></description>&\u{0}\u{b}\u{ffff}\"'")],
        );
        let found = feed("<c>", &[("<script>", &evil)]);
        assert!(found.contains("<title>&lt;script&gt; 1 [linux-64, noarch]</title>"));
        assert!(found.contains(
            "<description>]]&gt;&lt;/description&gt;&amp;\u{fffd}\u{fffd}\u{fffd}&quot;'</description>"
        ));
        assert!(found.contains("<title>anaconda.org/&lt;c&gt;</title>"));
    }

    #[test]
    fn a_feed_has_the_hundred_newest() {
        let summaries: Vec<(String, Summary)> = (0..150)
            .map(|number| (format!("p{number:03}"), summary("1", number / 2, &[])))
            .collect();
        let packages: Vec<(&str, &Summary)> = summaries
            .iter()
            .map(|(name, summary)| (name.as_str(), summary))
            .collect();
        let found = feed("c", &packages);
        let titles: Vec<&str> = found
            .lines()
            .filter_map(|line| line.strip_prefix("      <title>"))
            .collect();
        assert_eq!(titles.len(), 100);
        assert!(titles[0].starts_with("p148 "), "{}", titles[0]);
        assert!(titles[1].starts_with("p149 "), "{}", titles[1]);
        assert!(titles[99].starts_with("p051 "), "{}", titles[99]);
        assert_eq!(feed("c", &[]).matches("<item>").count(), 0);
    }
}
