"""Room 3: whether an action may be taken.

Enters: a bundle folder, and questions about actions (principal × action × resource × arguments ×
task). Leaves: a compiled bundle, verdicts, and explanations of them.

Always holds: a bundle is taken whole or refused whole, with every problem at its file, line and
column; a forbid wins; a policy that errs refuses; within a task nothing is permitted but what its
profile allows; what rests on the agent's cooperation is listed as such.

`yaml`, `reader`, `diagnostics` reading, strictly · `bundle` what a bundle is · `load` (`manifest`,
`intent`, `cedar_text`, `check`) from a folder to a bundle · `lint` what it promises and cannot keep ·
`compile`, `validate` what the decision plane loads · `engine` the one door to the decision plane ·
`cases`, `bundle_tests`, `case_report` a bundle's own cases · `trial` a task on a plane of its own ·
`draft` a profile to begin with · `explain` why a decision was made · `question`, `verdict` the
joint for other engines.
"""
