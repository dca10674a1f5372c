//! What a client accepts: JSON, and of the objects everything, their metadata, or a table.

use super::reply::Failure;
use fixpoint_api_machinery::status;

/// How much of an object is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All of it.
    Full,
    /// A `PartialObjectMetadata`.
    Metadata,
    /// A row of a table.
    Table,
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// How much of an object is sent.
    pub shape: Shape,
    /// Whether the answer is YAML.
    pub yaml: bool,
}

/// One media type of an `Accept` header with its parameters.
struct MediaRange<'a> {
    media: &'a str,
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> MediaRange<'a> {
    fn all(header: &'a str) -> impl Iterator<Item = Self> {
        header.split(',').map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let media = parts.next().unwrap_or("");
            let params = parts.filter_map(|part| part.split_once('=')).collect();
            Self { media, params }
        })
    }

    fn param(&self, name: &str) -> &'a str {
        self.params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    fn encoding(&self) -> Option<bool> {
        match self.media {
            "application/json" | "application/*" | "*/*" => Some(false),
            "application/yaml" => Some(true),
            _ => None,
        }
    }
}

const OFFERED: [&str; 2] = ["application/json", "application/yaml"];

/// Agrees on how objects are sent. Clauses are tried in their order, as kube-apiserver does.
///
/// # Errors
/// 406 when no clause can be met.
pub fn objects(header: Option<&str>) -> Result<Accepted, Failure> {
    let header = header.map(str::trim).filter(|header| !header.is_empty());
    let Some(header) = header else { return Ok(Accepted { shape: Shape::Full, yaml: false }) };
    let agreed = MediaRange::all(header).find_map(|range| {
        let yaml = range.encoding()?;
        let meta =
            range.param("g") == "meta.k8s.io" && matches!(range.param("v"), "v1" | "v1beta1");
        let shape = match range.param("as") {
            "" => Shape::Full,
            "Table" if meta => Shape::Table,
            "PartialObjectMetadata" | "PartialObjectMetadataList" if meta => Shape::Metadata,
            _ => return None,
        };
        Some(Accepted { shape, yaml })
    });
    agreed.ok_or_else(|| status::not_acceptable(&OFFERED).into())
}

/// Agrees on JSON for everything that is not an object; `true` means the aggregated form of
/// discovery.
///
/// # Errors
/// 406 when no clause can be met.
pub fn discovery(header: Option<&str>) -> Result<bool, Failure> {
    let header = header.map(str::trim).filter(|header| !header.is_empty());
    let Some(header) = header else { return Ok(false) };
    let agreed = MediaRange::all(header).find_map(|range| {
        range.encoding()?;
        match range.param("as") {
            "" => Some(false),
            "APIGroupDiscoveryList"
                if range.param("g") == "apidiscovery.k8s.io" && range.param("v") == "v2" =>
            {
                Some(true)
            }
            _ => None,
        }
    });
    agreed.ok_or_else(|| status::not_acceptable(&OFFERED).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_tried_in_order() {
        let shape = |header| objects(Some(header)).map(|accepted| accepted.shape).ok();
        assert_eq!(shape("*/*"), Some(Shape::Full));
        assert_eq!(
            shape("application/vnd.kubernetes.protobuf,application/json"),
            Some(Shape::Full)
        );
        assert_eq!(shape("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(
            shape("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            Some(Shape::Table)
        );
        assert_eq!(
            shape("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
            Some(Shape::Metadata)
        );
        assert_eq!(shape("application/json;as=Picture"), None);
        assert_eq!(shape("application/json;stream=watch"), Some(Shape::Full));
    }
}
