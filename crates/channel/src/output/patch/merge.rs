//! How one record takes a patch in: conda-index's `merge_or_update_dict` with `merge=False`.

use std::collections::BTreeMap;

use crate::json::Json;

type Map = BTreeMap<String, Json>;

/// Objects are merged, everything else is replaced. A `null` deletes a key that is there; one that is
/// not there it *inserts*, as conda-index does.
pub(super) fn merge(base: &mut Map, patch: &Map) {
    if base == patch {
        return;
    }
    for (key, value) in patch {
        match (value, base.get_mut(key)) {
            (Json::Map(patch), Some(Json::Map(base))) => merge(base, patch),
            // Python goes through the keys of the patch, of which there are none.
            (Json::Map(patch), Some(_)) if patch.is_empty() => {}
            (Json::Null, Some(_)) => {
                base.remove(key);
            }
            (value, _) => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Makes a record that no solver picks: it depends on a package that does not exist.
pub(super) fn revoke(record: &mut Map) {
    record.insert("revoked".to_owned(), Json::Bool(true));
    let depends = record
        .entry("depends".to_owned())
        .or_insert_with(|| Json::List(Vec::new()));
    if !matches!(depends, Json::List(_)) {
        *depends = Json::List(Vec::new());
    }
    if let Json::List(depends) = depends {
        depends.push(Json::Text("package_has_been_revoked".to_owned()));
    }
}
