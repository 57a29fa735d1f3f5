"""Each incident of docs/runbook.md is started, recognised by the doctor, and cured as the page says."""
