"""A small package of one's own: each module is one extension, none of them needs a fork."""
