//! What conda calls the projects of the Python Package Index. Mostly the same; the exceptions are
//! those of conda-forge, so that its recipes and users find what they look for.

use std::collections::BTreeMap;

use pep508_rs::PackageName;

/// conda-forge's names that differ from the project's normalised one.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("backports-tarfile", "backports.tarfile"),
    ("backports-zoneinfo", "backports.zoneinfo"),
    ("blosc", "python-blosc"),
    ("brotli", "brotli-python"),
    ("build", "python-build"),
    ("flatbuffers", "python-flatbuffers"),
    ("graphviz", "python-graphviz"),
    ("importlib-metadata", "importlib_metadata"),
    ("importlib-resources", "importlib_resources"),
    ("jaraco-classes", "jaraco.classes"),
    ("jaraco-context", "jaraco.context"),
    ("jaraco-functools", "jaraco.functools"),
    ("jaraco-text", "jaraco.text"),
    ("jupyter-client", "jupyter_client"),
    ("jupyter-core", "jupyter_core"),
    ("jupyter-events", "jupyter_events"),
    ("jupyter-server", "jupyter_server"),
    ("jupyterlab-pygments", "jupyterlab_pygments"),
    ("jupyterlab-server", "jupyterlab_server"),
    ("kaleido", "python-kaleido"),
    ("msgpack", "msgpack-python"),
    ("opencv-python", "py-opencv"),
    ("prometheus-client", "prometheus_client"),
    ("pure-eval", "pure_eval"),
    ("pyqt5", "pyqt"),
    ("ruamel-yaml", "ruamel.yaml"),
    ("ruamel-yaml-clib", "ruamel.yaml.clib"),
    ("snappy", "python-snappy"),
    ("stack-data", "stack_data"),
    ("tables", "pytables"),
    ("torch", "pytorch"),
    ("typing-extensions", "typing_extensions"),
    ("tzdata", "python-tzdata"),
    ("xxhash", "python-xxhash"),
    ("zope-event", "zope.event"),
    ("zope-interface", "zope.interface"),
];

/// conda's name of a project. `names` are the definition's own, by any spelling of the project.
pub(super) fn conda(project: &PackageName, names: &BTreeMap<PackageName, String>) -> String {
    if let Some(name) = names.get(project) {
        return name.clone();
    }
    let known = EXCEPTIONS
        .iter()
        .find(|(pypi, _)| *pypi == project.as_ref());
    known
        .map_or(project.as_ref(), |(_, conda)| *conda)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    #[test]
    fn names_are_conda_forges_unless_the_definition_says_otherwise() {
        let project = |name| PackageName::from_str(name).unwrap();
        let mut names = BTreeMap::new();
        names.insert(project("Requests"), "requests-base".to_owned());
        for (pypi, expected) in [
            ("ruamel.yaml.clib", "ruamel.yaml.clib"),
            ("ruamel_yaml", "ruamel.yaml"),
            ("typing-extensions", "typing_extensions"),
            ("Charset_Normalizer", "charset-normalizer"),
            ("PySocks", "pysocks"),
            ("tzdata", "python-tzdata"),
            ("REQUESTS", "requests-base"),
        ] {
            assert_eq!(conda(&project(pypi), &names), expected);
        }
    }
}
