//! Which objects of a table a list or a watch is about.

use fixpoint_api_machinery::{FieldSelector, LabelSelector, status};
use serde_json::{Value, json};

use super::Target;
use crate::store::Object;
use crate::wire::{Failure, Query};

/// Selects objects by namespace, labels and fields.
#[derive(Debug, Clone)]
pub struct Selection {
    namespace: Option<String>,
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
    /// Whether the field selector looks at more than the name.
    deep: bool,
}

impl Selection {
    /// Reads the selectors of a request.
    ///
    /// # Errors
    /// 400 when one cannot be read.
    pub fn parse(target: &Target, query: &Query) -> Result<Self, Failure> {
        let bad = |err: &dyn std::fmt::Display| Failure::from(status::bad_request(err.to_string()));
        let labels = query.get("labelSelector").map(LabelSelector::parse).transpose();
        let labels = labels.map_err(|err| bad(&err))?.filter(|selector| !selector.is_empty());
        let extra: Vec<&str> = target.kind.selectable.iter().map(String::as_str).collect();
        let parse = |text: &str| match FieldSelector::parse(text, &[]) {
            Ok(selector) => Ok((selector, false)),
            Err(_) => FieldSelector::parse(text, &extra).map(|selector| (selector, true)),
        };
        let fields = query.get("fieldSelector").map(parse).transpose().map_err(|err| bad(&err))?;
        let deep = fields.as_ref().is_some_and(|(_, deep)| *deep);
        let mut fields = fields.map(|(selector, _)| selector).filter(|s| !s.is_empty());
        if let (Some(name), None) = (&target.name, &fields) {
            // A watch on one object is a watch on its name.
            fields = FieldSelector::parse(&format!("metadata.name={name}"), &[]).ok();
        }
        Ok(Self { namespace: target.namespace.clone(), labels, fields, deep })
    }

    /// Whether everything in the namespace is selected.
    pub fn is_all(&self) -> bool {
        self.labels.is_none() && self.fields.is_none()
    }

    /// The namespace it is bound to.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Object) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| object.name.namespace == *namespace)
            && self.labels.as_ref().is_none_or(|labels| labels.matches_labels(&object.labels))
            && self.fields.as_ref().is_none_or(|fields| fields.matches(&self.fields_of(object)))
    }

    fn fields_of(&self, object: &Object) -> Value {
        if self.deep {
            return object.value();
        }
        json!({"metadata": {"name": object.name.name, "namespace": object.name.namespace}})
    }
}
