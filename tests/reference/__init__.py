"""Our numbers against those of others: packages where there are any, recorded vectors with their recipe elsewhere."""
