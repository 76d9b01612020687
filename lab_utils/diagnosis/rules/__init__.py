"""The rules, one module per class of fault. `lab_utils.diagnosis.table` puts them in order."""
