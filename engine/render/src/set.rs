//! The objects of one build in their order, found by any name they have had.
//!
//! Lookups never walk the list: current and earlier ids are indexed, and the index is made anew
//! only after a step that renames.

use std::collections::HashMap;

use crate::resource::{Id, Resource};

/// Objects in order, with an index of their ids.
#[derive(Debug, Default)]
pub(crate) struct Set {
    items: Vec<Resource>,
    current: HashMap<Id, usize>,
    earlier: HashMap<Id, Vec<usize>>,
}

impl Set {
    /// Appends an object.
    ///
    /// # Errors
    /// Gives the object back where its id is taken.
    pub(crate) fn push(&mut self, resource: Resource) -> Result<(), Box<Resource>> {
        if self.current.contains_key(&resource.id) {
            return Err(Box::new(resource));
        }
        let at = self.items.len();
        self.current.insert(resource.id.clone(), at);
        self.index_earlier(&resource, at);
        self.items.push(resource);
        Ok(())
    }

    fn index_earlier(&mut self, resource: &Resource, at: usize) {
        for id in &resource.previous {
            let places = self.earlier.entry(id.clone()).or_default();
            if places.last() != Some(&at) {
                places.push(at);
            }
        }
    }

    /// The object that has an id now.
    pub(crate) fn by_id(&self, id: &Id) -> Option<&Resource> {
        self.current.get(id).map(|at| &self.items[*at])
    }

    pub(crate) fn items(&self) -> &[Resource] {
        &self.items
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn into_items(self) -> Vec<Resource> {
        self.items
    }

    /// Every object that has or had an id.
    pub(crate) fn by_any_id(&self, id: &Id) -> Vec<usize> {
        let mut places = self.earlier.get(id).cloned().unwrap_or_default();
        if let Some(at) = self.current.get(id)
            && !places.contains(at)
        {
            places.push(*at);
        }
        places.sort_unstable();
        places
    }

    /// Changes objects one at a time; ids may change.
    ///
    /// Returns the first object whose new id another one has already.
    pub(crate) fn change_all<E>(
        &mut self,
        mut change: impl FnMut(&mut Resource) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        for resource in &mut self.items {
            change(resource)?;
        }
        Ok(self.reindex())
    }

    /// Changes fields of all objects that are no part of an id.
    ///
    /// # Errors
    /// The first that `edit` gives, with the object it is about.
    pub(crate) fn edit_all(
        &mut self,
        mut edit: impl FnMut(&mut Resource) -> Result<(), String>,
    ) -> Result<(), (Id, String)> {
        let edited = self.items.iter_mut();
        edited
            .into_iter()
            .try_for_each(|resource| edit(resource).map_err(|reason| (resource.id.clone(), reason)))
    }

    /// Changes one object, keeping the index where its ids stay as they are.
    ///
    /// Returns whether another object has its new id already.
    pub(crate) fn change<E>(
        &mut self,
        at: usize,
        change: impl FnOnce(&mut Resource) -> Result<(), E>,
    ) -> Result<bool, E> {
        let resource = &mut self.items[at];
        let before = resource.id.clone();
        let history = resource.previous.len();
        let result = change(resource);
        let resource = &self.items[at];
        let (renamed, id) = (resource.id != before, resource.id.clone());
        let added: Vec<Id> = resource.previous[history.min(resource.previous.len())..].to_vec();
        for id in added {
            let places = self.earlier.entry(id).or_default();
            if !places.contains(&at) {
                places.push(at);
            }
        }
        let mut taken = false;
        if renamed {
            if self.current.get(&before) == Some(&at) {
                self.current.remove(&before);
            }
            taken = self.current.contains_key(&id);
            if !taken {
                self.current.insert(id, at);
            }
        }
        result.map(|()| taken)
    }

    /// Drops objects.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Resource) -> bool) {
        let before = self.items.len();
        self.items.retain(keep);
        if self.items.len() != before {
            self.reindex();
        }
    }

    fn reindex(&mut self) -> Option<usize> {
        self.current.clear();
        self.earlier.clear();
        let items = std::mem::take(&mut self.items);
        let mut taken = None;
        for (at, resource) in items.iter().enumerate() {
            if self.current.contains_key(&resource.id) {
                taken = taken.or(Some(at));
            } else {
                self.current.insert(resource.id.clone(), at);
            }
            self.index_earlier(resource, at);
        }
        self.items = items;
        taken
    }
}
