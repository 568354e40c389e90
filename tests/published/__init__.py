"""Networks in the manner of published methods, written from the papers' definitions.

One module for each method, in the style of research code and with none of this
package's layers. `catalogue.NETWORKS` lists them.
"""
