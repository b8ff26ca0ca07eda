//! Enumerations whose values are lower-case words, the same in JSON and in the database.

use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

/// An enumeration whose values are lower-case words.
pub trait StringEnum: Copy + PartialEq + 'static {
    /// All values, in the order of their declaration.
    const ALL: &'static [Self];

    /// Returns the word of the value.
    fn as_str(self) -> &'static str;

    /// Returns the value with this word.
    fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|value| value.as_str() == word)
    }
}

/// Returns the OpenAPI schema of an enumeration; `meanings` are those of [`StringEnum::ALL`], in its order.
pub(crate) fn schema<W: StringEnum>(description: &str, meanings: &[&str]) -> RefOr<Schema> {
    let words: Vec<_> = W::ALL.iter().map(|it| it.as_str()).collect();
    let lines = words.iter().zip(meanings);
    let list: String = lines
        .map(|(word, meaning)| format!("\n- `{word}`: {}", meaning.trim()))
        .collect();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(format!("{}\n{list}", description.trim())))
        .enum_values(Some(words))
        .into()
}

/// Declares an enumeration that implements [`StringEnum`], `Serialize` and `ToSchema`.
macro_rules! string_enum {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $meaning:literal])* $variant:ident = $word:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[doc = $meaning])* $variant,)*
        }

        impl $crate::values::string_enum::StringEnum for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::values::string_enum::StringEnum::as_str(*self))
            }
        }

        impl utoipa::ToSchema for $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let meanings = &[$(concat!($($meaning),*)),*];
                $crate::values::string_enum::schema::<Self>(concat!($($doc),*), meanings)
            }
        }
    };
}
pub(crate) use string_enum;
