"""A chunk on its way through the pipeline: read from the events, matched from stage to stage, laid out as a course."""
