"""Raw sources: one module each, with `Params` and `read(raw, params) -> Iterator[Item]`.

`read` takes the folder as it is after download and gives every question that the dataset asks. It
raises a `DataError` where the folder is not the one it should be (a missing file, a file that is no
JSON, a missing column or key); a record that is merely bad (an empty answer, a missing picture) is
given as it is, for the check to find.
"""
