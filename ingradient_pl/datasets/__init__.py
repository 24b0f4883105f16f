"""Which files of a folder or table are a case: layouts, tables, patients, folds."""
