"""A local page to point and to tune: pictures in the browser, parameters to take along."""
