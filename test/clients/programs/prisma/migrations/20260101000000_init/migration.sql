-- CreateTable
CREATE TABLE "shop_customers" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "email" TEXT NOT NULL,
    "name" TEXT,
    "loyal" BOOLEAN NOT NULL DEFAULT false,
    "balance" DECIMAL NOT NULL DEFAULT 0,
    "notes" JSONB,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" DATETIME NOT NULL
);

-- CreateTable
CREATE TABLE "shop_products" (
    "sku" TEXT NOT NULL PRIMARY KEY,
    "stock" INTEGER NOT NULL DEFAULT 0,
    "sold" BIGINT NOT NULL DEFAULT 0,
    "weight" REAL,
    "picture" BLOB
);

-- CreateTable
CREATE TABLE "shop_orders" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "customerId" INTEGER NOT NULL,
    "number" INTEGER NOT NULL,
    CONSTRAINT "shop_orders_customerId_fkey" FOREIGN KEY ("customerId") REFERENCES "shop_customers" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateTable
CREATE TABLE "shop_order_lines" (
    "orderId" TEXT NOT NULL,
    "sku" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,

    PRIMARY KEY ("orderId", "sku"),
    CONSTRAINT "shop_order_lines_orderId_fkey" FOREIGN KEY ("orderId") REFERENCES "shop_orders" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "shop_order_lines_sku_fkey" FOREIGN KEY ("sku") REFERENCES "shop_products" ("sku") ON DELETE RESTRICT ON UPDATE CASCADE
);

-- CreateIndex
CREATE UNIQUE INDEX "shop_customers_email_key" ON "shop_customers"("email");

-- CreateIndex
CREATE UNIQUE INDEX "shop_orders_customerId_number_key" ON "shop_orders"("customerId", "number");
