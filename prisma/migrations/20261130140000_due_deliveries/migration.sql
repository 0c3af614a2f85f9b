-- What the courier looks for is few of all that were ever posted: indexes of those alone. What a person asks for has one of its own.
DROP INDEX "Delivery_state_notBefore_idx";
CREATE INDEX "Delivery_due_idx" ON "Delivery"("notBefore") WHERE (state = 'active' AND wanted > posted);
CREATE INDEX "Delivery_userId_state_idx" ON "Delivery"("userId", "state");
CREATE INDEX "Delivery_token_idx" ON "Delivery"("tokenExpiresAt") WHERE ("tokenExpiresAt" IS NOT NULL);
