//! What an action's results look like, compiled from its template.

use std::collections::BTreeMap;

use flyball_typed::Kind;

use super::LabelSet;
use crate::document::{Field as FieldText, Template};

/// Fields of one template at most.
const MAX_FIELDS: usize = 4096;

/// A declared field.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its path, joined by `.`; lists add nothing.
    pub(crate) name: Box<str>,
    /// Its type; none: anything.
    pub(crate) kind: Option<Kind>,
    /// Who can write it.
    pub(crate) by: Box<str>,
    /// The writer and the field's own labels.
    pub(crate) labels: LabelSet,
}

/// A step of a template.
#[derive(Debug)]
pub(crate) enum Node {
    /// A field, by its number.
    Leaf(u16),
    List(Box<Node>),
    Map {
        named: BTreeMap<Box<str>, Node>,
        /// Every other key.
        star: Option<Box<Node>>,
        /// The keys themselves: a field, by its number.
        key: Option<u16>,
    },
}

/// A template.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) root: Node,
    pub(crate) fields: Vec<Field>,
    /// All labels of all fields.
    pub(crate) labels: LabelSet,
}

/// The set of labels of those names, taking on new ones.
pub(crate) type Labels<'a> = &'a mut dyn FnMut(&str) -> Result<LabelSet, String>;

impl Form {
    /// Compile a template; none: anything, by the outside.
    pub(crate) fn read(template: Option<&Template>, labels: Labels<'_>) -> Result<Self, String> {
        let anything = FieldText { kind: "any".to_owned(), by: "outside".to_owned(), labels: Vec::new() };
        let mut reader = Reader { fields: Vec::new(), labels };
        let root = reader.node(template.unwrap_or(&Template::Spec(anything)), "")?;
        let fields = reader.fields;
        let labels = fields.iter().fold(LabelSet::default(), |all, field| all.and(field.labels));
        Ok(Self { root, fields, labels })
    }

    /// Whether it is rows of single values, as a query gives them.
    pub(crate) fn is_rows(&self) -> bool {
        let single = |node: &Node| matches!(node, Node::Leaf(_));
        match &self.root {
            Node::List(inner) => match &**inner {
                Node::Map { named, star, key: None } => named.values().chain(star.as_deref()).all(single),
                _ => false,
            },
            _ => false,
        }
    }

    /// The number of a field.
    pub(crate) fn field(&self, name: &str) -> Option<u16> {
        self.fields.iter().position(|field| *field.name == *name).and_then(|place| u16::try_from(place).ok())
    }
}

struct Reader<'a> {
    fields: Vec<Field>,
    labels: Labels<'a>,
}

impl Reader<'_> {
    fn node(&mut self, template: &Template, path: &str) -> Result<Node, String> {
        Ok(match template {
            Template::Spec(spec) => Node::Leaf(self.field(spec, path)?),
            Template::List(inner) => Node::List(Box::new(self.node(inner, path)?)),
            Template::Map(members) => {
                let mut named = BTreeMap::new();
                let (mut star, mut key) = (None, None);
                for (name, inner) in members {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    match (name.as_str(), inner) {
                        ("*", inner) => star = Some(Box::new(self.node(inner, &path)?)),
                        ("$key", Template::Spec(spec)) => key = Some(self.field(spec, &path)?),
                        ("$key", _) => return Err(format!("`{path}`: keys are single values")),
                        (name, inner) => {
                            named.insert(Box::from(name), self.node(inner, &path)?);
                        }
                    }
                }
                Node::Map { named, star, key }
            }
        })
    }

    fn field(&mut self, spec: &FieldText, path: &str) -> Result<u16, String> {
        let kind = match spec.kind.as_str() {
            "any" => None,
            word => Some(Kind::parse(word).ok_or_else(|| format!("field `{path}`: there is no type `{word}`"))?),
        };
        if !matches!(spec.by.as_str(), "user" | "org" | "outside") {
            return Err(format!("field `{path}`: `{}` is no writer", spec.by));
        }
        let mut labels = (self.labels)(&spec.by)?;
        for label in &spec.labels {
            labels = labels.and((self.labels)(label)?);
        }
        let number = u16::try_from(self.fields.len()).ok().filter(|_| self.fields.len() < MAX_FIELDS);
        self.fields.push(Field { name: Box::from(path), kind, by: Box::from(spec.by.as_str()), labels });
        number.ok_or_else(|| "a template has too many fields".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(json: &str) -> Result<Form, String> {
        let template: Template = serde_json::from_str(json).unwrap();
        Form::read(Some(&template), &mut |name| {
            let known = ["user", "org", "outside", "pii"];
            let place = known.iter().position(|known| *known == name);
            place.map(LabelSet::bit).ok_or_else(|| "unknown".to_owned())
        })
    }

    #[test]
    fn fields_are_named_by_their_paths() {
        let form = form(
            r#"{"list": {"map": {"id_": {"spec": {"type": "id", "by": "org"}},
                "shared_with": {"map": {"$key": {"spec": {"type": "email", "by": "user"}}, "*": {"spec": {"type": "text", "by": "user"}}}},
                "items": {"list": {"map": {"price": {"spec": {"type": "money", "by": "outside", "labels": ["pii"]}}}}}}}}"#,
        )
        .unwrap();
        let mut names: Vec<&str> = form.fields.iter().map(|field| field.name.as_ref()).collect();
        names.sort_unstable();
        assert_eq!(names, ["id_", "items.price", "shared_with.$key", "shared_with.*"]);
        assert_eq!(form.labels.bits(), 0b1111);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(form(r#"{"spec": {"type": "colour", "by": "org"}}"#).is_err());
        assert!(form(r#"{"spec": {"type": "id", "by": "nobody"}}"#).is_err());
        assert!(form(r#"{"map": {"$key": {"list": {"spec": {"type": "id", "by": "org"}}}}}"#).is_err());
        assert!(form(r#"{"spec": {"type": "id", "by": "org", "labels": ["unheard"]}}"#).is_err());
    }

    #[test]
    fn no_template_is_anything_by_the_outside() {
        let form = Form::read(None, &mut |_| Ok(LabelSet::OUTSIDE)).unwrap();
        assert_eq!(form.field(""), Some(0));
        assert!(form.fields[0].kind.is_none() && form.labels == LabelSet::OUTSIDE);
    }
}
