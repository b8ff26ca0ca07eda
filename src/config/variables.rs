//! The environment variables: which of them are settings, which set a given one, and which look like the misspelled name
//! of one.

use super::OPERATOR_VARIABLE;

/// The beginning of the names of settings, in lower case, as the names are compared here.
const PREFIX: &str = "lmn_";
/// Separates the section of a setting from its key.
const SEPARATOR: &str = "__";
/// The variables of the database's URL, which precede that of the setting: the URL, and the file that contains it.
pub(super) const DATABASE_URL: [&str; 2] = ["DATABASE_URL", "DATABASE_URL_FILE"];
/// The key of the database's URL.
const DATABASE_URL_KEY: &str = "database.url";

/// Returns whether a variable is a setting: its name is `LMN_SECTION__KEY`, or `LMN_KEY` if `key` is one of the `keys`
/// without a section.
///
/// All other variables belong to somebody else: in Kubernetes a service named `lmn` sets `LMN_PORT` and
/// `LMN_SERVICE_HOST` in every container, and a partner's shell may set `LMN_API_KEY`.
pub(super) fn is_setting(name: &str, keys: &[String]) -> bool {
    let name = name.to_lowercase();
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    match rest.split_once(SEPARATOR) {
        Some((section, key)) => !section.is_empty() && !key.is_empty(),
        None => keys.iter().any(|it| it == rest),
    }
}

/// Returns the names of the variables that set a setting or a part of a section, as they were written.
pub(super) fn find_setters<'a>(variables: &'a [(String, String)], key: &str) -> Vec<&'a str> {
    let is_set = |wanted: &str| {
        let mut set = variables.iter().filter(|it| !it.1.trim().is_empty());
        set.find(|it| it.0 == wanted).map(|it| it.0.as_str())
    };
    if key == DATABASE_URL_KEY
        && let Some(name) = DATABASE_URL.into_iter().find_map(is_set)
    {
        return vec![name];
    }
    let names = variables.iter().map(|it| it.0.as_str());
    let sets = |name: &&str| {
        let name = name.to_lowercase();
        let set = name
            .strip_prefix(PREFIX)
            .map(|it| it.replace(SEPARATOR, "."));
        set.is_some_and(|set| {
            let rest = set.strip_prefix(key);
            rest.is_some_and(|it| it.is_empty() || it.starts_with('.'))
        })
    };
    names.filter(sets).collect()
}

/// Returns a warning for each variable that is not a setting but differs from the name of one by no more than
/// underscores and one mistyped character.
pub(super) fn find_slips(variables: &[(String, String)], keys: &[String]) -> Vec<String> {
    let slips = variables.iter().filter_map(|(name, _)| {
        let lower = name.to_lowercase();
        let rest = lower.strip_prefix(PREFIX)?;
        if name == OPERATOR_VARIABLE || is_setting(name, keys) {
            return None;
        }
        let meant = keys.iter().find(|key| is_near(&bare(rest), &bare(key)))?;
        let variable = format!("LMN_{}", meant.replace('.', SEPARATOR).to_uppercase());
        Some(format!(
            "{name} is not a setting and has no effect; `{meant}` is set by {variable}"
        ))
    });
    slips.collect()
}

/// Returns the letters and digits of a name or a key.
fn bare(name: &str) -> Vec<char> {
    name.chars().filter(|it| it.is_alphanumeric()).collect()
}

/// Returns whether two texts are equal, or differ by one character that is missing, added, replaced or swapped with the
/// next one.
fn is_near(one: &[char], other: &[char]) -> bool {
    let same = |it: &(&char, &char)| it.0 == it.1;
    let start = one.iter().zip(other).take_while(same).count();
    let (one, other) = (one.split_at(start).1, other.split_at(start).1);
    let end = one.iter().rev().zip(other.iter().rev());
    let end = end.take_while(same).count();
    let one = one.split_at(one.len() - end).0;
    let other = other.split_at(other.len() - end).0;
    match (one, other) {
        ([first, second], [third, fourth]) => first == fourth && second == third,
        _ => one.len() <= 1 && other.len() <= 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<String> {
        ["environment", "public_url", "server.listen", "log.format"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn variable_is_a_setting_by_the_form_of_its_name() {
        for name in [
            "LMN_ENVIRONMENT",
            "LMN_PUBLIC_URL",
            "LMN_SERVER__LISTEN",
            "lmn_server__listen",
            "LMN_SERVER__TLS__CERTIFICATE_FILE",
            "LMN_NO_SUCH__SETTING",
        ] {
            assert!(is_setting(name, &keys()), "{name}");
        }
        for name in [
            "LMN_PORT",
            "LMN_PORT_8080_TCP",
            "LMN_PORT_8080_TCP_ADDR",
            "LMN_SERVICE_HOST",
            "LMN_SERVICE_PORT",
            "LMN_SERVICE_PORT_HTTP",
            // Of a service named `lmn--server`.
            "LMN__SERVER_PORT",
            "LMN_API_KEY",
            "LMN_OPERATOR",
            "LMN_SERVER_LISTEN",
            "LMN_",
            "LMN",
            "DATABASE_URL",
        ] {
            assert!(!is_setting(name, &keys()), "{name}");
        }
    }

    #[test]
    fn variable_is_found_by_the_setting_or_the_section_that_it_sets() {
        let variables = [
            "LMN_SERVER__LISTEN",
            "lmn_rate_limit__read__burst",
            "LMN_RATE_LIMIT__READ_BURST",
            "LMN_PUBLIC_URL",
            "DATABASE_URL_FILE",
            "LMN_DATABASE__URL",
        ];
        let variables = variables.map(|it| (it.to_owned(), "x".to_owned()));
        for (key, found) in [
            ("server.listen", &["LMN_SERVER__LISTEN"][..]),
            ("rate_limit.read", &["lmn_rate_limit__read__burst"]),
            ("rate_limit.read.burst", &["lmn_rate_limit__read__burst"]),
            ("public_url", &["LMN_PUBLIC_URL"]),
            ("database.url", &["DATABASE_URL_FILE"]),
            ("server.idle_seconds", &[]),
        ] {
            assert_eq!(find_setters(&variables, key), found, "{key}");
        }
        let empty = [("DATABASE_URL".to_owned(), " ".to_owned())];
        assert_eq!(find_setters(&empty, "database.url"), [""; 0]);
    }

    #[test]
    fn misspelled_setting_is_found_and_other_variables_are_not() {
        let slips = |name: &str| find_slips(&[(name.to_owned(), "x".to_owned())], &keys());
        for (name, variable) in [
            ("LMN_SERVER_LISTEN", "LMN_SERVER__LISTEN"),
            ("LMN_SERVERLISTEN", "LMN_SERVER__LISTEN"),
            ("LMN_ENVIROMENT", "LMN_ENVIRONMENT"),
            ("LMN_ENVIORNMENT", "LMN_ENVIRONMENT"),
            ("LMN_ENVIRONMENTS", "LMN_ENVIRONMENT"),
            ("LMN_PUBLIC_URI", "LMN_PUBLIC_URL"),
            ("LMN_LOG_FORMAT", "LMN_LOG__FORMAT"),
        ] {
            let found = slips(name);
            assert_eq!(found.len(), 1, "{name}");
            assert!(found[0].starts_with(name) && found[0].ends_with(variable));
        }
        for name in [
            "LMN_PORT",
            "LMN_SERVICE_HOST",
            "LMN_API_KEY",
            "LMN_OPERATOR",
            "LMN_SERVER__LISTEN",
            "LMN_ENVIRONMENT",
            "LMN_",
            "HOME",
        ] {
            assert_eq!(slips(name), [""; 0], "{name}");
        }
    }
}
