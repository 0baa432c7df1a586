"""Archives as large as the published ones, made of varied miniatures: the datasets' full load."""
