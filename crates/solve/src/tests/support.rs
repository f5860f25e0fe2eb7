//! Records made from a line of text, and the real repodata that lies outside the project.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use conda::{
    Channel, MatchSpec, NoArchType, PackageName, PackageRecord, ParseMatchSpecOptions, RepoData,
    RepoDataRecord, VersionWithSource,
};
use url::Url;

pub(super) const CHANNEL: &str = "https://example.org/forge/";

pub(super) fn spec(text: &str) -> MatchSpec {
    MatchSpec::from_str(text, ParseMatchSpecOptions::lenient()).expect("a match spec")
}

pub(super) fn specs(texts: &[&str]) -> Vec<MatchSpec> {
    texts.iter().map(|text| spec(text)).collect()
}

/// A linux-64 record of [`CHANNEL`].
pub(super) fn record(name: &str, version: &str, build: &str, depends: &[&str]) -> RepoDataRecord {
    record_in(CHANNEL, name, version, build, depends)
}

pub(super) fn record_in(
    channel: &str,
    name: &str,
    version: &str,
    build: &str,
    depends: &[&str],
) -> RepoDataRecord {
    let version: VersionWithSource = version.parse().expect("a version");
    let file_name = format!("{name}-{version}-{build}.conda");
    let mut package_record = PackageRecord::new(
        PackageName::new_unchecked(name),
        version,
        build.parse().expect("a build string"),
    );
    package_record.subdir = "linux-64".to_owned();
    package_record.arch = Some("x86_64".to_owned());
    package_record.platform = Some("linux".to_owned());
    package_record.noarch = NoArchType::none();
    package_record.depends = depends.iter().map(ToString::to_string).collect();
    package_record.sha256 = Some([7; 32].into());
    package_record.size = Some(1234);
    RepoDataRecord {
        package_record,
        identifier: file_name.parse().expect("an archive's name"),
        url: Url::parse(&format!("{channel}linux-64/{file_name}")).expect("a URL"),
        channel: Some(channel.to_owned()),
    }
}

pub(super) fn names(records: &[RepoDataRecord]) -> Vec<&str> {
    records
        .iter()
        .map(|record| record.package_record.name.as_normalized())
        .collect()
}

/// A file of the shared test data, decompressed; `None` where the folder is absent, unless
/// `ARCHICONDA_TEST_STRICT` is set.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(super) fn shared(path: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(path);
    if !path.exists() {
        assert!(
            std::env::var_os("ARCHICONDA_TEST_STRICT").is_none(),
            "{} is absent",
            path.display()
        );
        eprintln!("skipped: {} is absent", path.display());
        return None;
    }
    let mut text = String::new();
    let mut file = std::fs::File::open(&path).expect("readable");
    if path.extension().is_some_and(|extension| extension == "bz2") {
        bzip2::read::MultiBzDecoder::new(file).read_to_string(&mut text)
    } else {
        file.read_to_string(&mut text)
    }
    .expect("text");
    Some(text)
}

/// The records of one subdir's repodata.
pub(super) fn repodata(path: &str, channel: &str) -> Option<Vec<RepoDataRecord>> {
    let data: RepoData = serde_json::from_str(&shared(path)?).expect("repodata");
    let channel = Channel::from_url(Url::parse(channel).expect("a URL"));
    Some(data.into_repo_data_records(&Arc::new(channel)))
}
