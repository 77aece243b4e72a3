"""For every public function, two calls per parameter whose results differ."""
