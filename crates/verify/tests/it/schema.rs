//! A published JSON Schema, read by a validator that is not ours (boon).

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

pub struct Published {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Published {
    pub fn new(text: &str) -> Self {
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        let name = "published.json";
        let text = serde_json::from_str(text).unwrap();
        compiler.add_resource(name, text).unwrap();
        let mut schemas = Schemas::new();
        let index = compiler.compile(name, &mut schemas).unwrap();
        Self { schemas, index }
    }

    /// What is wrong, if anything.
    pub fn objection(&self, document: &Value) -> Option<String> {
        let judged = self.schemas.validate(document, self.index);
        judged.err().map(|e| e.to_string())
    }
}
