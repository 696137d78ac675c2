"""Identity: which identifiers form which entity, under which id.

`reference` says what the answer is, in plain Python; `store` says what a store promises; `redis_store`
keeps the promise in Redis, with one atomic Lua call per batch.
"""
