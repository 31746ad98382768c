"""One module a dataset, each with `Params` and `load(params) -> FederatedData`."""
