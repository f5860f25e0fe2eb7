//! What a rule does to a record.

use super::pin::{self, Bound};
use super::template::Template;
use super::{Record, features, strings, text, texts};
use crate::glob::Glob;
use crate::json::Json;

/// One step of a rule.
#[derive(Debug)]
pub(super) enum Action {
    Add(&'static str, Vec<Template>),
    Remove(&'static str, Vec<Glob>),
    Reset(&'static str, Vec<Template>),
    AddFeatures(Vec<String>),
    RemoveFeatures(Vec<Glob>),
    Replace(&'static str, Template, Template),
    Rename(&'static str, Template, Template),
    RelaxExact(Target),
    Tighten(Target),
    Loosen(Target),
}

/// Which dependency gets which bound.
#[derive(Debug)]
pub(super) struct Target {
    name: Template,
    max_pin: Option<usize>,
    upper_bound: Option<Template>,
}

impl Action {
    pub(super) fn parse(key: &str, value: &Json) -> Result<Self, String> {
        let templates = || {
            texts(key, value)?
                .iter()
                .map(|text| Template::parse(text, false))
                .collect::<Result<Vec<_>, _>>()
        };
        let globs = || texts(key, value).map(|texts| Glob::all(&texts));
        Ok(match key {
            "add_depends" => Self::Add("depends", templates()?),
            "add_constrains" => Self::Add("constrains", templates()?),
            "remove_depends" => Self::Remove("depends", globs()?),
            "remove_constrains" => Self::Remove("constrains", globs()?),
            "reset_depends" => Self::Reset("depends", templates()?),
            "reset_constrains" => Self::Reset("constrains", templates()?),
            "add_track_features" => Self::AddFeatures(texts(key, value)?),
            "remove_track_features" => Self::RemoveFeatures(globs()?),
            "replace_depends" => replace("depends", key, value)?,
            "replace_constrains" => replace("constrains", key, value)?,
            "rename_depends" => rename("depends", key, value)?,
            "rename_constrains" => rename("constrains", key, value)?,
            "relax_exact_depends" => Self::RelaxExact(Target::parse(key, value)?),
            "tighten_depends" => Self::Tighten(Target::parse(key, value)?),
            "loosen_depends" => Self::Loosen(Target::parse(key, value)?),
            _ => return Err(format!("unknown action `{key}`")),
        })
    }

    /// Does it, where it makes sense for the record.
    pub(super) fn apply(&self, record: &mut Record, subdir: &str) {
        // What a record lacks, or has in another form, it has not.
        let _ = self.try_apply(record, subdir);
    }

    fn try_apply(&self, record: &mut Record, subdir: &str) -> Option<()> {
        let fill = |template: &Template, record: &Record| template.fill(record, subdir, None);
        match self {
            Self::Add(key, items) => {
                let items: Option<Vec<_>> = items.iter().map(|item| fill(item, record)).collect();
                let mut list = owned(record, key)?;
                for item in items? {
                    if !list.contains(&item) {
                        list.push(item);
                    }
                }
                set(record, key, list);
            }
            Self::Remove(key, globs) => {
                let mut list = owned(record, key)?;
                let mut matching = list.clone();
                matching.retain(|item| globs.iter().any(|glob| glob.matches(item)));
                matching.sort_unstable();
                matching.dedup();
                for item in matching {
                    // The first of equal ones only.
                    let at = list.iter().position(|other| *other == item)?;
                    list.remove(at);
                }
                if !list.is_empty() {
                    set(record, key, list);
                } else if let Some(value) = record.get_mut(*key) {
                    *value = Json::Null;
                }
            }
            Self::Reset(key, items) => {
                let items: Option<Vec<_>> = items.iter().map(|item| fill(item, record)).collect();
                set(record, key, items?);
            }
            Self::AddFeatures(added) => {
                let mut words = features(record);
                words.extend(added.iter().cloned());
                let words = Json::Text(words.join(" "));
                record.insert("track_features".to_owned(), words);
            }
            Self::RemoveFeatures(globs) => {
                if !matches!(record.get("track_features"), None | Some(Json::Null)) {
                    let mut words = features(record);
                    words.retain(|word| !globs.iter().any(|glob| glob.matches(word)));
                    let words = match words.join(" ") {
                        words if words.is_empty() => Json::Null,
                        words => Json::Text(words),
                    };
                    record.insert("track_features".to_owned(), words);
                }
            }
            Self::Replace(key, old, new) => {
                let glob = Glob::new(&fill(old, record)?);
                let mut list = owned(record, key)?;
                let mut at = 0;
                while let Some(item) = list.get(at).cloned() {
                    at += 1;
                    if !glob.matches(&item) {
                        continue;
                    }
                    let new = new.fill(record, subdir, Some(&item))?;
                    let first = list.iter().position(|other| *other == item)?;
                    if !list.contains(&new) {
                        *list.get_mut(first)? = new;
                    } else if new != item {
                        list.remove(first);
                    }
                }
                change(record, key, list);
            }
            Self::Rename(key, old, new) => {
                let (old, new) = (fill(old, record)?, fill(new, record)?);
                let mut list = owned(record, key)?;
                let item = list.iter_mut().find(|item| pin::name(item) == old)?;
                *item = match item.split_once(' ') {
                    Some((_, rest)) => format!("{new} {rest}"),
                    None => new,
                };
                change(record, key, list);
            }
            Self::RelaxExact(pin) => {
                let name = fill(&pin.name, record)?;
                let mut list = owned(record, "depends")?;
                let item = list.iter_mut().find(|item| pin::name(item) == name)?;
                *item = pin::relaxed(item, pin.max_pin)?;
                change(record, "depends", list);
            }
            Self::Tighten(pin) => pin.apply(record, subdir, pin::tighten)?,
            Self::Loosen(pin) => pin.apply(record, subdir, pin::loosen)?,
        }
        Some(())
    }
}

impl Target {
    fn parse(key: &str, value: &Json) -> Result<Self, String> {
        let Json::Map(parts) = value else {
            return Err(format!("`{key}` is not a map"));
        };
        let mut pin = Self {
            name: Template::parse("", false)?,
            max_pin: None,
            upper_bound: None,
        };
        let mut named = false;
        for (part, value) in parts {
            let text = text(value).ok_or_else(|| format!("`{part}` in `{key}` is not a text"))?;
            match (&**part, value) {
                ("name", _) => {
                    pin.name = Template::parse(&text, false)?;
                    named = !text.is_empty();
                }
                ("max_pin" | "upper_bound", Json::Null) => {}
                ("max_pin", _) => {
                    if text.is_empty() || !text.chars().all(|c| matches!(c, 'x' | '.')) {
                        return Err(format!("`max_pin` in `{key}` is not of the form `x.x`"));
                    }
                    pin.max_pin = Some(text.matches('x').count());
                }
                ("upper_bound", _) => pin.upper_bound = Some(Template::parse(&text, false)?),
                _ => return Err(format!("unknown key `{part}` in `{key}`")),
            }
        }
        if !named {
            return Err(format!("`{key}` has no `name`"));
        }
        Ok(pin)
    }

    /// Changes every dependency whose name matches.
    fn apply(
        &self,
        record: &mut Record,
        subdir: &str,
        change_one: fn(&str, &mut Bound) -> Option<String>,
    ) -> Option<()> {
        let glob = Glob::new(&self.name.fill(record, subdir, None)?);
        let upper = match &self.upper_bound {
            Some(upper) => Some(upper.fill(record, subdir, None)?),
            None => None,
        };
        let mut list = owned(record, "depends")?;
        for at in 0..list.len() {
            let name = pin::name(list.get(at)?).to_owned();
            if !glob.matches(&name) {
                continue;
            }
            let mut bound = Bound {
                max_pin: self.max_pin,
                upper: upper.clone(),
            };
            // All of that name each time, as the script does it.
            for item in list.iter_mut().filter(|item| pin::name(item) == name) {
                if let Some(changed) = change_one(item, &mut bound) {
                    *item = changed;
                }
            }
        }
        change(record, "depends", list);
        Some(())
    }
}

fn replace(target: &'static str, key: &str, value: &Json) -> Result<Action, String> {
    let (old, new) = old_and_new(key, value)?;
    let (old, new) = (Template::parse(&old, false)?, Template::parse(&new, true)?);
    Ok(Action::Replace(target, old, new))
}

fn rename(target: &'static str, key: &str, value: &Json) -> Result<Action, String> {
    let (old, new) = old_and_new(key, value)?;
    let (old, new) = (Template::parse(&old, false)?, Template::parse(&new, false)?);
    Ok(Action::Rename(target, old, new))
}

fn old_and_new(key: &str, value: &Json) -> Result<(String, String), String> {
    let wrong = || format!("`{key}` is not a map of `old` and `new`");
    let Json::Map(parts) = value else {
        return Err(wrong());
    };
    let part = |name: &str| {
        parts
            .get(name)
            .and_then(text)
            .filter(|text| !text.is_empty())
    };
    match (part("old"), part("new"), parts.len()) {
        (Some(old), Some(new), 2) => Ok((old, new)),
        _ => Err(wrong()),
    }
}

/// The items of a list; `None` where there is something else than a list of texts.
fn owned(record: &Record, key: &str) -> Option<Vec<String>> {
    let items = strings(record, key);
    match record.get(key) {
        None | Some(Json::Null) => Some(Vec::new()),
        Some(Json::List(list)) if list.len() == items.len() => {
            Some(items.into_iter().map(str::to_owned).collect())
        }
        Some(_) => None,
    }
}

fn set(record: &mut Record, key: &str, items: Vec<String>) {
    let items = items.into_iter().map(Json::Text).collect();
    record.insert(key.to_owned(), Json::List(items));
}

/// Sets a list that is there; never makes one.
fn change(record: &mut Record, key: &str, items: Vec<String>) {
    if matches!(record.get(key), Some(Json::List(_))) {
        set(record, key, items);
    }
}
