"""How good the answers are: NDCG@10 of the product's own search on questions with known answers."""
