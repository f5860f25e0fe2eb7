//! Something for some of the packages: a table by name and place, which is gone through in the order of the pool.

use super::candidate::Id;

/// What is known of some packages.
#[derive(Debug)]
pub(super) struct ById<T> {
    slots: Vec<Vec<Option<T>>>,
    length: usize,
}

impl<T> Default for ById<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            length: 0,
        }
    }
}

impl<T> ById<T> {
    /// How many packages there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// What is known of one.
    pub(super) fn get(&self, id: Id) -> Option<&T> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.get(id.place as usize)?.as_ref()
    }

    /// Whether something is known of one.
    pub(super) fn contains(&self, id: Id) -> bool {
        self.get(id).is_some()
    }

    /// Adds what is known of one, unless something is; whether it was added.
    pub(super) fn add(&mut self, id: Id, what: T) -> bool {
        let (slot, place) = (id.slot as usize, id.place as usize);
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Vec::new);
        }
        let Some(slot) = self.slots.get_mut(slot) else {
            return false;
        };
        if slot.len() <= place {
            slot.resize_with(place + 1, || None);
        }
        match slot.get_mut(place) {
            Some(known @ None) => {
                *known = Some(what);
                self.length += 1;
                true
            }
            _ => false,
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The packages, those of a name together and the best of them first.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.slots
            .iter()
            .enumerate()
            .flat_map(move |(slot, places)| {
                let known = places.iter().enumerate();
                let known = known.filter(|(_, known)| known.is_some());
                known.map(move |(place, _)| Id {
                    slot: number(slot),
                    place: number(place),
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_told_in_order() {
        let id = |slot, place| Id { slot, place };
        let mut known = ById::default();
        for (at, what, is_new) in [
            (id(7, 2), 'a', true),
            (id(0, 5), 'b', true),
            (id(7, 0), 'c', true),
            (id(7, 2), 'd', false),
        ] {
            assert_eq!(known.add(at, what), is_new, "{at:?}");
        }
        assert_eq!(known.len(), 3);
        assert_eq!(
            known.ids().collect::<Vec<_>>(),
            [id(0, 5), id(7, 0), id(7, 2)]
        );
        assert_eq!(known.get(id(7, 2)), Some(&'a'));
        for absent in [id(7, 1), id(7, 3), id(9, 0), id(3, 0)] {
            assert!(!known.contains(absent), "{absent:?}");
        }
        known.clear();
        assert_eq!((known.len(), known.ids().next()), (0, None));
    }
}
