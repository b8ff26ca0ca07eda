//! The steps of `lmn certify` and their outcomes, printed as they become known.

use serde_json::{Value, json};

use crate::cli::print_outcome;

/// A step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    name: &'static str,
    /// Whether the integration passes only if this step does.
    is_required: bool,
}

/// The reason why a step has not passed: one sentence of what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The integration does something wrong.
    Failed(String),
    /// The step could not be judged.
    Skipped(String),
}

/// The outcome of a step: what was found in words and, for later steps, as a value.
pub(super) type Verdict<T = ()> = Result<(String, T), Flaw>;

/// All outcomes so far.
#[derive(Debug)]
pub(super) struct Report {
    is_json: bool,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    step: Step,
    outcome: Result<String, Flaw>,
}

impl Step {
    /// Declares a step without which an integration does not pass.
    pub(super) const fn required(name: &'static str) -> Self {
        Self {
            name,
            is_required: true,
        }
    }

    /// Declares a step that only informs.
    pub(super) const fn optional(name: &'static str) -> Self {
        Self {
            name,
            is_required: false,
        }
    }

    /// Makes the step required under a condition.
    pub(super) fn required_if(self, is_required: bool) -> Self {
        Self {
            is_required,
            ..self
        }
    }
}

impl Report {
    /// Starts a report. With `is_json`, nothing is printed before its end.
    pub(super) fn new(is_json: bool) -> Self {
        Self {
            is_json,
            rows: Vec::new(),
        }
    }

    /// Judges a step, records the outcome, and returns what was found if the step passes.
    pub(super) async fn step<T>(
        &mut self,
        step: Step,
        judged: impl Future<Output = Verdict<T>>,
    ) -> anyhow::Result<Option<T>> {
        match judged.await {
            Ok((message, found)) => {
                self.record(step, Ok(message))?;
                Ok(Some(found))
            }
            Err(flaw) => {
                self.record(step, Err(flaw))?;
                Ok(None)
            }
        }
    }

    /// Records that steps were not judged, because the step on which they depend has not passed.
    pub(super) fn skip(&mut self, steps: &[Step], cause: Step) -> anyhow::Result<()> {
        let message = format!("The step `{}` did not pass.", cause.name);
        steps
            .iter()
            .try_for_each(|step| self.record(*step, Err(Flaw::Skipped(message.clone()))))
    }

    /// Returns whether a step has passed.
    pub(super) fn passed(&self, step: Step) -> bool {
        let mut rows = self.rows.iter();
        rows.any(|it| it.step.name == step.name && it.outcome.is_ok())
    }

    /// Returns the required steps that have not passed, with their outcomes.
    pub(super) fn open(&self) -> Vec<String> {
        let rows = self.rows.iter().filter(|it| it.step.is_required);
        let open = rows.filter(|it| it.outcome.is_err());
        open.map(|it| format!("`{}` {}", it.step.name, it.word()))
            .collect()
    }

    /// Returns all outcomes as JSON.
    pub(super) fn rows(&self) -> Vec<Value> {
        let row = |it: &Row| {
            json!({
                "step": it.step.name,
                "required": it.step.is_required,
                "outcome": it.word(),
                "message": it.message(),
            })
        };
        self.rows.iter().map(row).collect()
    }

    fn record(&mut self, step: Step, outcome: Result<String, Flaw>) -> anyhow::Result<()> {
        let row = Row { step, outcome };
        if !self.is_json {
            let optional = match step.is_required {
                true => "",
                false => " (optional)",
            };
            print_outcome(format_args!(
                "{:<9}{:<15}{}{optional}",
                row.word(),
                step.name,
                row.message()
            ))?;
        }
        self.rows.push(row);
        Ok(())
    }
}

impl Row {
    fn word(&self) -> &'static str {
        match &self.outcome {
            Ok(_) => "ok",
            Err(Flaw::Failed(_)) => "failed",
            Err(Flaw::Skipped(_)) => "skipped",
        }
    }

    fn message(&self) -> &str {
        match &self.outcome {
            Ok(message) | Err(Flaw::Failed(message) | Flaw::Skipped(message)) => message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_required_step_must_pass() {
        let mut report = Report::new(true);
        let (first, second) = (Step::required("first"), Step::optional("second"));
        report.record(first, Ok("Fine.".to_owned())).unwrap();
        report.skip(&[second], first).unwrap();
        assert!(report.passed(first) && !report.passed(second));
        assert_eq!(report.open(), [""; 0]);
        report.skip(&[second.required_if(true)], first).unwrap();
        let third = Err(Flaw::Failed("Bad.".to_owned()));
        report.record(Step::required("third"), third).unwrap();
        assert_eq!(report.open(), ["`second` skipped", "`third` failed"]);
        let last = report.rows().pop().unwrap();
        let expected =
            json!({"step": "third", "required": true, "outcome": "failed", "message": "Bad."});
        assert_eq!(last, expected);
    }
}
